"""What may be written of a file's metadata without being asked for: one list for all formats.

This page is for whoever answers for people's data. A field of a file goes into a store, an export, a notebook or
``attrs`` only if it stands here. All other fields, and fields with other values than are said here, are ``private``:
``img.bigimg.meta`` shows them, and they are written only with ``keep_metadata=True`` (``--keep-metadata``).

- :data:`NUMBERS`: fields that are kept if the value is a number, true or false, or a list of these.
- :data:`WORDS`: fields that are kept if the value is one of the words which the format has for it.
- :data:`TEXTS`: fields that are kept with any value: who made the scanner, and codes of technique.
- :data:`CHANNEL_WORDS`, :data:`SEGMENT_WORDS` and :data:`CHANNEL_CODES`: what the name of a channel or segment may
  consist of. Others are numbered.

No field with a name, a date, an id, a place, a free text or the path of a file is in these lists.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from bigimg.geometry.spec import Channel
from bigimg.geometry.units import LENGTHS, TIMES
from bigimg.types import Json

NUMBERS = {
    "afni": """
        BRICK_FLOAT_FACS BRICK_STATAUX BRICK_STATS BRICK_TYPES DATASET_DIMENSIONS DATASET_RANK DELTA IJK_TO_DICOM
        IJK_TO_DICOM_REAL INT_CMAP ORIENT_SPECIFIC ORIGIN SCENE_DATA TAXIS_FLOATS TAXIS_NUMS TAXIS_OFFSETS
    """,
    "czi": """
        Channel(?:ExposureTime|ExcitationWavelength|EmissionWavelength|IlluminationWavelength|PinholeSize(?:Airy)?)
        Channel(?:SectionThickness|NACondenser|ComponentBitCount|LaserScanPixelTime|Gain)
        ComponentBitCount CalibratedMagnification ImmersionRefractiveIndex LensNA NominalMagnification
        OriginalEncodingQuality Size[A-Z] WorkingDistance
    """,
    "ecat": """
        acquisition_mode acquisition_type angular_compression axial_samp_mode bed_elevation bed_position bin_size
        branching_fraction calibration_unitS calibration_units calibration_units_type coin_samp_mode compression_code
        distance_scanned ecat_calibration_factor file_type gantry_rotation gantry_tilt init_bed_position
        intrinsic_tilt isotope_halflife lwr_sctr_thres lwr_true_thres num_bed_pos num_frames num_gates num_planes
        patient_orientation plane_separation septa_state sw_version system_type transaxial_fov transm_source_type
        upr_true_thres well_counter_corr_factor wobble_speed
    """,
    "imaris": """
        Image:(?:[XYZ]|ExtM(?:in|ax)[012]|Noc|NumericalAperture|LensPower)
        Channel_\\d+:(?:GammaCorrection|ColorOpacity)
        Channel_\\d+:(?:ColorRange|LSM(?:Emission|Excitation)Wavelength|LSMP(?:hotons|inhole))
    """,
    "metaimage": """
        CenterOfRotation Color ElementMax ElementMin ElementNBits ElementSize ElementSpacing
        ElementToIntensityFunctionOffset ElementToIntensityFunctionSlope Offset Orientation Origin Position Rotation
        SequenceID TransformMatrix
    """,
    "lif": """
        BaseZoom CycleCount CycleTime FrameAccumulation FrameAverage FrameTime LineAverage LineTime Line_Accumulation
        Magnification NumericalAperture Pinhole PinholeAiry PixelDwellTime RefractionIndex RotatorAngle ScanSpeed Zoom
    """,
    "mgh": "Mdc Pxyz_c delta dof flip_angle fov goodRASFlag te ti tr",
    "minc": """
        acquisition:(?:delay_in_TR|echo_number|echo_time|flip_angle|imaging_frequency|inversion_time|num_averages)
        acquisition:(?:num_phase_enc_steps|num_slices|percent_sampling|phase_enc_fov|pixel_bandwidth|repetition_time)
        acquisition:(?:SAR|receive_gain|slice_thickness|transmit_gain|tube_current|exposure_time|kvp)
    """,
    "mrc": "[nm][xyz] n[xyz]start [xyz](?:len|org) alpha beta gamma map[crs] d(?:min|max|mean) ispg mode rms nversion",
    "nd2": """
        bitsPerComponentSignificant emissionLambdaNm excitationLambdaNm immersionRefractiveIndex objectiveMagnification
        objectiveNumericalAperture pinholeDiameterUm projectiveMagnification zoomMagnification
    """,
    "nifti": """
        cal_max cal_min compressed dim_info dim_un0 field_skip funused[123] intent_code intent_p[123] omax omin
        origin pixdim qform_code qoffset_[xyz] quatern_[bcd] sform_code slice_code slice_duration slice_end
        slice_start smax smin srow_[xyz] start_field toffset unused1 verified views vols_added xyzt_units
    """,
    "nrrd": """
        DWMRI_NEX(?:_\\d+)? DWMRI_b-value DWMRI_(?:gradient|B-matrix)_\\d+ axis_maxs axis_mins measurement_frame
        number old_max old_min space_dimension space_directions space_origin spacings thicknesses
    """,
    "openslide": """
        openslide\\.(?:bounds-(?:x|y|width|height)|icc-size|level-count|mpp-[xy]|objective-power)
        openslide\\.level\\[\\d+\\]\\.(?:downsample|width|height|tile-width|tile-height)
    """,
    "parrec": """
        acq_nr angulation b_values b_vectors cardiac_phase_number diffusion diffusion_b_(?:factor|value_number)
        diffusion_echo_time dyn_scan dynamic_scan_number echo_number epi_factor flow_compensation fov
        gradient_orientation_number image_type_mr label_type max_cardiac_phases max_diffusion_values
        max_dynamics max_echoes max_gradient_orient max_mixes max_slices mtc nr_label_types off_center
        phase_enc_velocity presaturation recon_nr repetition_time scan_duration scan_resolution
        scanning_sequence spir water_fat_shift
    """,
    "picture": "bits_per_sample dpi duration icc_profile loop orientation palette",
    "tiff": """
        AppMag MPP magnification BitsPerSample ColorChannel ExtraSamples GeoDoubleParamsTag GeoKeyDirectoryTag
        ImageDepth MaxSampleValue
        MinSampleValue ModelPixelScaleTag ModelTiepointTag ModelTransformationTag PageNumber PrimaryChromaticities
        ReferenceBlackWhite RowsPerStrip SMaxSampleValue SMinSampleValue SamplesPerPixel T4Options T6Options
        TileDepth TransferRange WhitePoint XPosition XResolution YCbCrCoefficients YCbCrPositioning
        YCbCrSubSampling YPosition YResolution levels
    """,
}  # fmt: skip
"""By format: regular expressions of the names of fields. A space in a name is written ``_`` here."""

_UNIT = r'"?(?:[kmunµ]?m|mm/s|[kM]?Bq/(?:cc|m[lL])|[mu]?s|HU|um|microns?|pixels?|SUV|counts?|)"?'
_PER_AXIS = r"(?:\s*(?:{0}))+\s*"

WORDS = {
    "afni": {
        "TYPESTRING": r"3DIM_(?:HEAD|GEN)_(?:ANAT|FUNC)", "BYTEORDER_STRING": "[LM]SB_FIRST",
        "TEMPLATE_SPACE": "ORIG|ACPC|TLRC|MNI(?:_ANAT)?|MNI_2009c_asym",
    },
    "czi": {
        "Immersion": "Air|Water|Oil|Glycerin|Silicone|Other", "PupilGeometry": "Circular|Annular|Other",
        "Channel(?:AcquisitionMode|ContrastMethod|IlluminationType)":
            "(?:(?:, )?(?:WideField|LaserScanningConfocalMicroscopy|SpinningDiskConfocal|StructuredIllumination|"
            "SingleMoleculeImaging|TotalInternalReflection|MultiPhotonMicroscopy|SelectivePlaneIllumination|"
            "LatticeLightsheet|Airyscan|Palm|Fluorescence|Epifluorescence|Brightfield|Darkfield|Phase|DIC|Transmitted|"
            "Reflected|Oblique|Polarization|None|Other))+",
        "PixelType": "(?:Gray|Bgra?)[0-9]{1,3}(?:Float|ComplexFloat)?",
        "OriginalCompressionMethod": "Uncompressed|Jpg|JpgXr|Lzw|Zstd[01]?",
    },
    "ecat": {
        "data_units": r"(?:[kM]?Bq/(?:cc|ml)|(?:ECAT )?counts(?:/sec)?|uCi/ml|unknown)",
        "magic_number": r"MATRIX\d\dv?",
    },
    "metaimage": {
        "AnatomicalOrientation": "[RLAPISFH?]{1,4}", "DistanceUnits": _UNIT, "ObjectType": "Image",
        "Modality": "MET_MOD_(?:CT|MR|NM|US|OTHER|UNKNOWN)",
    },
    "minc": {
        "minc_version": r"[\d.]+", "study:modality": "PET__|SPECT|GAMMA|MRI__|MRS__|MRA__|CT___|DSA__|DR___|label",
    },
    "nifti": {"cal_units": rf"\s*{_UNIT}\s*", "data_type": "dsr", "regular": "r", "vox_units": rf"\s*{_UNIT}\s*"},
    "nrrd": {
        "centers": _PER_AXIS.format(r"cell|node|none|\?\?\?"), "modality": "DWMRI|[CP]T|MR[IA]?|US|NM",
        "kinds": _PER_AXIS.format(
            r"domain|space|time|list|point|vector|covariant-vector|normal|stub|scalar|complex|2-vector|none|\?\?\?|"
            r"(?:RGB|HSV|XYZ)-color|RGBA-color|[34]-(?:color|vector|gradient|normal)|4-vector|quaternion|"
            r"(?:[23]D-)(?:masked-)?(?:symmetric-)?matrix"
        ),
        "sample_units": _UNIT,
        "space": "(?i:(?:right|left)-(?:an|pos)terior-(?:super|infer)ior|[rl][ap][si]|scanner-xyz|"
                 "3D-(?:right|left)-handed)(?:-time)?",
        "space_units": _PER_AXIS.format(_UNIT), "units": _PER_AXIS.format(_UNIT),
    },
    "openslide": {
        r"openslide\.background-color": "[0-9A-Fa-f]{6}",
        r"openslide\.vendor": "dicom|hamamatsu|mirax|ventana",
    },
    "parrec": {
        "patient_position": "(?:Head|Feet) First (?:Supine|Prone|(?:Right|Left)? ?Decubitus ?(?:Right|Left)?)",
        "prep_direction": _PER_AXIS.format("(?:Anterior|Posterior|Right|Left|Head|Feet|Foot)[- ]?"),
        "scan_mode": "2D|3D|MS|M2D|DS",
    },
    "picture": {"format": "[A-Z][A-Z0-9_]*"},
    "tiff": {
        "(?:Compression|FillOrder|GrayResponseUnit|InkSet|NewSubfileType|Orientation|PhotometricInterpretation|"
        "PlanarConfiguration|Predictor|ResolutionUnit|SampleFormat|SubfileType|Threshholding)": r"[A-Z][A-Z0-9_|]*",
        "GDAL_NODATA": r"[-+\d.eE]+|nan|-?inf",
    },
}  # fmt: skip
"""By format: regular expressions of names of fields and of the texts that are kept. The words that stand for numbers of
a TIFF, such as ``DEFLATE``, come from tifffile and not from the file."""

TEXTS = {
    "dicom": """
        AcquisitionMatrix BitsAllocated BitsStored BodyPartExamined BurnedInAnnotation ConvolutionKernel
        DataCollectionDiameter DiffusionBValue DiffusionGradientOrientation DistanceSourceToDetector
        DimensionOrganizationType
        DistanceSourceToPatient DoseGridScaling DoseSummationType DoseType DoseUnits EchoNumbers EchoTime
        EchoTrainLength Exposure ExposureTime ExtendedDepthOfField FilterType FlipAngle FocusMethod FrameTime
        GantryDetectorTilt HighBit ImageOrientationPatient ImageOrientationSlide ImagePositionPatient ImageType
        ImagedNucleus ImagedVolumeDepth ImagedVolumeHeight ImagedVolumeWidth ImagerPixelSpacing ImagingFrequency
        InPlanePhaseEncodingDirection InversionTime KVP Laterality LossyImageCompression
        LossyImageCompressionMethod LossyImageCompressionRatio MRAcquisitionType MagneticFieldStrength
        Manufacturer ManufacturerModelName MaximumFractionalValue Modality NumberOfAverages NumberOfFrames
        NumberOfOpticalPaths NumberOfTemporalPositions ObjectiveLensPower PatientPosition PercentPhaseFieldOfView
        PercentSampling
        PhotometricInterpretation PixelBandwidth PixelPaddingRangeLimit PixelPaddingValue PixelRepresentation
        FloatPixelPaddingRangeLimit FloatPixelPaddingValue DoubleFloatPixelPaddingRangeLimit
        DoubleFloatPixelPaddingValue
        PixelSpacing PlanarConfiguration PresentationLUTShape ReconstructionDiameter RepetitionTime
        RescaleIntercept RescaleSlope RescaleType RotationDirection SOPClassUID SamplesPerPixel ScanOptions
        ScanningSequence SegmentationFractionalType SegmentationType SequenceVariant SliceThickness
        SpacingBetweenFrames SpacingBetweenSlices SpecimenLabelInImage TemporalResolution
        TotalPixelMatrixColumns TotalPixelMatrixFocalPlanes TotalPixelMatrixRows TransferSyntaxUID TriggerTime Units
        VOILUTFunction VariableFlipAngleFlag ViewPosition VolumeTimes WindowCenter WindowWidth XRayTubeCurrent
    """,
    "nd2": "modalityFlags",
}  # fmt: skip
"""Keywords of geometry, modality, window, units, maker and technique; the flags of ND2 are words of the library."""

CHANNEL_WORDS = """
    alpha background bf bg black blue bright brightfield camera channel confocal contrast cyan dark darkfield
    default df dic emission esid excitation extra far field filter first five fluo fluor fluorescence four
    fourth gaasp gray green grey image infrared intensity ir laser light magenta ndd near nir nm noise none one
    orange ph phase pmt purple ratio red reflected rl sample second shg signal six thg third three tl tpmt track
    trans transmitted two uv violet vis white yellow
    band csu cube dichroic disk dual em epi ex galvano lambda long mono pass quad resonant sdc short sim spinning
    split sted tirf triple wf widefield
    aec af alexa amca atto autofluorescence bfp bodipy calcein cerulean cfp citrine clover coumarin cy cyanine
    dab dapi dendra2? draq5? dsred dylight ecfp egfp emerald eosin eyfp fam fitc fluorescein fura gcamp gfp h&e
    haematoxylin he hematoxylin hoechst hyd lucifer lysotracker lyy m?tagbfp2? mcerulean mcherry mcitrine
    mitotracker mkate mneongreen morange mplum mruby mscarlet mturquoise mturquoise2 opal oregon pacific pas pe
    percp phalloidin propidium residual rfp rhodamine rox ruby sfgfp sir sybr sytox tamra tdtomato texas tritc turquoise
    txred venus wga yfp
    acid actin apc aqp aquaporin arg arginase asma atp atpase bcl bet blank brdu c?fos c?jun cadherin calbindin
    calnexin calprotectin catenin cell cells centrin chat chromogranin chymase class collagen cona cox ctb
    cytokeratin cytoplasm cytosol desmin dna dnai dsdna ecad ecadherin edu egfr elastin empty epcam er
    fibronectin foxp gad gamma gfap gh2ax gitr glucagon golgi granzyme gzm[abk] her2 hh3 histone hla i iba icos
    ii iii inos insulin iridium iv k keratin ki lamin laminin lamp lipid lysosome lyve map2 mastchytry mbp
    melan melana membrane mhc mitf mito mitochondria mpo na nakatpase nestin neun nfh nfl nuclear nuclei nucleic
    nucleus olig osmium p?h2ax pan panck parvalbumin pax pdl? pdpn pecam pericentrin peroxisome podoplanin pro
    proinsulin ps pten rna rorgt ruthenium segmentation sma somatostatin synapsin synaptophysin tbet tbr thp
    tomm tox tryptase tubulin tunel type uromodulin vegf vglut vimentin
    antibod(?:y|ies) astrocytes? axons? bacteria chaps chloroplasts? chlorophyll chromatin chromosomes? cilia
    clathrin cortactin cytoskeleton dendrites? dynactin dynein embryos? endosomes? filaments? fm gata glia growth h2b
    histones? kinesin kinetochores? lipids? macrophages? microglia microtubules? mitotic myosin neurites? neurons?
    nucleol(?:i|us) nucleosomes? organelles? particles? phalloidin plasma raw ribosomes? spindle synapses? tagrfp
    telomeres? utrophin vinculin zo
    adc beta bold coef diffusion full glt imaginary label magnitude mask max mean median min probability pval real sd
    stat std sum tstat fstat var weighted zscore
"""
"""Expressions of words, in any case, also with a number behind them: colours, ways of imaging, dyes, stains, markers,
statistics."""

SEGMENT_WORDS = """
    abdomen abdominal abscess adrenals? airways? and aneurysm anterior aorta aortic appendix arter(?:y|ies) ascending
    atri(?:um|al) autochthon bilateral bladder blood body bones? bowel brachiocephalic brain(?:stem)? breasts?
    bronch(?:us|i) calcifications? capsule cardiac carotid cartilage caudate cava cavity celiac cerebellum cerebral
    cerebrum cervical chest clavicles? colon common cord coronary cort(?:ex|ical) costal cranium csf ctv cysts?
    descending diaphragm dis[ck]s? ducts? duodenum o?edema effusion enhancing o?esophagus external eye(?:ball)?s? face
    fat femoral femurs? fibula fissure fluid foot frontal gallbladder glands? gluteus gtv hands? head heart ha?ematoma
    ha?emorrhage hepatic hippocamp(?:us|i) hips? humerus hypothalamus ileum iliac iliopsoas in infarct inferior inner
    internal intestines? intracranial jejunum joints? kidneys? knees? large larynx lateral left lens lesions? ligaments?
    liver lobes? lower lumbar lungs? lymph mandible margin mass matter maxilla maximus medial mediastinum medius medulla
    meniscus metastas[ei]s middle minimus mouth muscles? myocardium nasal neck necro(?:sis|tic) neoplasms? nerves?
    nodes? nodules? non nonenhancing oar occipital of optic oral orbits? organs? outer ovar(?:y|ies) palate pallidum
    pancreas parietal parotids? pelvi(?:s|c) pericardium peripheral pituitary plaques? pleural? pneumothorax polyps?
    pons portal posterior primary prostate ptv pulmonary putamen radius rectum renal ribs? right sacrum scapulae?
    secondary segments? seminal septum shoulders? sigmoid sinus skeletal skin skull small soft spinal spine spleen
    splenic sternum stomach structures? subclavian subcutaneous submandibular substantia superior temporal test(?:is|es)
    thalam(?:us|i) thigh thoracic thorax thrombus thymus thyroid tibia tissues? tongue tooth teeth torso trachea
    transition transverse trunk tumou?rs? ulna upper ureters? urethra urinary uterus vascular veins? vena
    ventric(?:les?|ular) vertebrae? vesicles? vessels? volume wall whole with zone
"""
"""The same of what segments are named by: organs, lesions, sides. The label of a segment of DICOM is free text and the
meaning of its code is a text too, so the first of them is kept whose words all stand here or above."""

CHANNEL_CODES = r"""
    [A-Za-z] [A-Z]{2} C[br] \d{1,5} \d{1,2}[a-z] \d{2,3}(?:nm|[A-Z][a-z]?|ArAr) [A-Z]{1,5}-?\d{1,3}[a-zA-Z]{0,2}
    (?:[A-Z][a-z]?\d{2,3}|ArAr\d\d)(?:Di|Dd)? Ch[SD]?\d{0,2}(?:GaAsP)? (?:IDO|TIM|VISTA)\d?
    (?i:ch|c|t|z|cy|ck|cd|p|hh|sox|band|channel|chan|camera|track|sample|b)\d{1,3}[a-z]?
"""
"""Expressions of codes: letters, numbers, wavelengths, genes and isotopes, as in ``CD45`` and ``Er168Di``."""

OTHER_UNITS = {"decameter", "us_survey_foot", "degree", "radian", "grad", "steradian", "pixel"}
"""Units of axes that OME-Zarr does not list: those of maps."""

CHANNEL_NAMES = "ChannelNames"
"""The private field with the names of channels as the file has them, where these are left out."""

_SPLIT = re.compile(r"[\s_/:;,.#()\[\]+~|=%-]+")
_DATE = re.compile(r"\d{1,4}([-/._ ])\d{1,2}\1\d{1,4}")
_HUMPS = re.compile(r"(?<=[a-z])(?=[A-Z])")
"""Between the words of ``TexasRed``."""
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|nan|none|-?inf", re.IGNORECASE)
_MOST_DIGITS = 40
"""Characters of a number; a longer one is no number but a message."""


def public_and_private(
    fields: Mapping[str, Json], family: str | None = None
) -> tuple[dict[str, Json], dict[str, Json]]:
    """Return the fields that may be written, and those that are written only if a user asks for them.

    Parameters
    ----------
    fields : mapping
        Fields of a file by name, JSON-safe.
    family : str, optional
        Key of the lists; by default a field may stand in any of them.
    """
    public, private = dict[str, Json](), dict[str, Json]()
    families = _FAMILIES if family is None else (family,)
    for name, value in fields.items():
        allowed = any(_allows(each, name.replace(" ", "_"), value) for each in families)
        (public if allowed else private)[name] = value
    return public, private


def known_channels(channels: Sequence[Channel]) -> tuple[tuple[Channel, ...], dict[str, Json]]:
    """Return ``channels`` with numbers for the names that may be those of people, and the names as private fields."""
    if all(is_known(channel.name) for channel in channels):
        return tuple(channels), {}
    named = (
        channel if is_known(channel.name) else replace(channel, name=f"Channel {i}")
        for i, channel in enumerate(channels)
    )
    return tuple(named), {CHANNEL_NAMES: [channel.name for channel in channels]}


def named_as_in_file(channels: Sequence[Channel], private: Mapping[str, Json]) -> tuple[Channel, ...]:
    """Return ``channels`` with the names that :func:`known_channels` took from them."""
    names = private.get(CHANNEL_NAMES)
    if not isinstance(names, list) or len(names) != len(channels):
        return tuple(channels)
    return tuple(replace(channel, name=str(name)) for channel, name in zip(channels, names, strict=True))


def known_unit(unit: str | None) -> str | None:
    """Return ``unit`` if it is the long name of a unit of length or time, or one of :data:`OTHER_UNITS`."""
    return unit if unit in LENGTHS | TIMES | OTHER_UNITS else None


def _expression(words: str, flags: int = 0) -> re.Pattern[str]:
    return re.compile("|".join(words.split()), flags)


_FAMILIES = tuple(NUMBERS | TEXTS)
_NUMBERS = {family: _expression(names) for family, names in NUMBERS.items()}
_TEXTS = {family: frozenset(names.split()) for family, names in TEXTS.items()}
_CHANNEL_WORDS = re.compile(
    rf"(?:{'|'.join((CHANNEL_WORDS + SEGMENT_WORDS).split())})\d{{0,5}}", re.IGNORECASE
)
_CHANNEL_CODES = _expression(CHANNEL_CODES)


def _allows(family: str, name: str, value: Json) -> bool:
    if name in _TEXTS.get(family, ()):
        return True
    if family in _NUMBERS and _NUMBERS[family].fullmatch(name):
        return _is_numbers(value)
    words = next((words for field, words in WORDS.get(family, {}).items() if re.fullmatch(field, name)), None)
    return words is not None and (
        re.fullmatch(words, value) is not None if isinstance(value, str) else _is_numbers(value)
    )


def _is_numbers(value: Json) -> bool:
    if isinstance(value, str):
        parts = re.split(r"[\s,()]+", value.strip())
        return all(not part or (len(part) < _MOST_DIGITS and _NUMBER.fullmatch(part)) for part in parts)
    return all(map(_is_numbers, value)) if isinstance(value, list) else not isinstance(value, Mapping)


def is_known(name: str) -> bool:
    """Return whether each word of the name of a channel is one that names no person."""
    if _DATE.search(name):
        return False
    return all(
        _is_known_word(word) or all(map(_is_known_word, _HUMPS.split(word))) for word in _SPLIT.split(name)
    )


def _is_known_word(word: str) -> bool:
    return not word or bool(_CHANNEL_WORDS.fullmatch(word) or _CHANNEL_CODES.fullmatch(word))
