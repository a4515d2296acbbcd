"""A small SICD, valid against its schema, written by sarkit."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np

XYZ = "<X>{0}</X><Y>{1}</Y><Z>{2}</Z>"
POSITION = f"{XYZ.format(6378137.0, 0.0, 0.0)}"


def _xyz_poly() -> str:
    axes = {
        axis: f"<{axis} order1='1'><Coef exponent1='0'>{value}</Coef><Coef exponent1='1'>1.0</Coef></{axis}>"
        for axis, value in (("X", 6388137.0), ("Y", 5000.0), ("Z", 100.0))
    }
    return "".join(axes.values())


def _direction(name: str, spacing: float, width: float, unit: str) -> str:
    return (
        f"<{name}><UVectECF>{unit}</UVectECF><SS>{spacing}</SS><ImpRespWid>{width}</ImpRespWid><Sgn>-1</Sgn>"
        f"<ImpRespBW>{0.886 / width}</ImpRespBW><KCtr>0.0</KCtr><DeltaK1>-1.0</DeltaK1><DeltaK2>1.0</DeltaK2></{name}>"
    )


def sicd_xml(rows: int, columns: int, pixel_type: str, azimuth: float, graze: float, table: str = "") -> str:
    corners = "".join(
        f"<ICP index='{k}:{name}'><Lat>{lat}</Lat><Lon>{lon}</Lon></ICP>"
        for k, name, lat, lon in (
            *((1, "FRFC", 0.001, -0.001), (2, "FRLC", 0.001, 0.001)),
            *((3, "LRLC", -0.001, 0.001), (4, "LRFC", -0.001, -0.001)),
        )
    )
    return f"""<SICD xmlns="urn:SICD:1.3.0">
<CollectionInfo><CollectorName>test</CollectorName><CoreName>test</CoreName><CollectType>MONOSTATIC</CollectType>
<RadarMode><ModeType>SPOTLIGHT</ModeType></RadarMode><Classification>UNCLASSIFIED</Classification></CollectionInfo>
<ImageData><PixelType>{pixel_type}</PixelType>{table}<NumRows>{rows}</NumRows><NumCols>{columns}</NumCols>
<FirstRow>0</FirstRow><FirstCol>0</FirstCol><FullImage><NumRows>{rows}</NumRows><NumCols>{columns}</NumCols></FullImage>
<SCPPixel><Row>{rows // 2}</Row><Col>{columns // 2}</Col></SCPPixel></ImageData>
<GeoData><EarthModel>WGS_84</EarthModel><SCP><ECF>{POSITION}</ECF><LLH><Lat>0.0</Lat><Lon>0.0</Lon><HAE>0.0</HAE></LLH></SCP>
<ImageCorners>{corners}</ImageCorners></GeoData>
<Grid><ImagePlane>SLANT</ImagePlane><Type>RGAZIM</Type><TimeCOAPoly order1='0' order2='0'>
<Coef exponent1='0' exponent2='0'>0.5</Coef></TimeCOAPoly>
{_direction("Row", 0.2021, 0.3013, XYZ.format(1.0, 0.0, 0.0))}{_direction("Col", 0.2031, 0.3229, XYZ.format(0.0, 1.0, 0.0))}
</Grid>
<Timeline><CollectStart>2020-01-01T00:00:00Z</CollectStart><CollectDuration>1.0</CollectDuration></Timeline>
<Position><ARPPoly>{_xyz_poly()}</ARPPoly></Position>
<RadarCollection><TxFrequency><Min>9.3e9</Min><Max>9.9e9</Max></TxFrequency><TxPolarization>H</TxPolarization>
<RcvChannels size='1'><ChanParameters index='1'><TxRcvPolarization>H:H</TxRcvPolarization></ChanParameters></RcvChannels>
</RadarCollection>
<ImageFormation><RcvChanProc><NumChanProc>1</NumChanProc><ChanIndex>1</ChanIndex></RcvChanProc>
<TxRcvPolarizationProc>H:H</TxRcvPolarizationProc><TStartProc>0.0</TStartProc><TEndProc>1.0</TEndProc>
<TxFrequencyProc><MinProc>9.3e9</MinProc><MaxProc>9.9e9</MaxProc></TxFrequencyProc><ImageFormAlgo>PFA</ImageFormAlgo>
<STBeamComp>NO</STBeamComp><ImageBeamComp>NO</ImageBeamComp><AzAutofocus>NO</AzAutofocus><RgAutofocus>NO</RgAutofocus>
</ImageFormation>
<SCPCOA><SCPTime>0.5</SCPTime><ARPPos>{XYZ.format(6388137.0, 5000.0, 100.0)}</ARPPos>
<ARPVel>{XYZ.format(0.0, 0.0, 100.0)}</ARPVel>
<ARPAcc>{XYZ.format(0.0, 0.0, 0.0)}</ARPAcc><SideOfTrack>R</SideOfTrack><SlantRange>10000.0</SlantRange>
<GroundRange>9000.0</GroundRange><DopplerConeAng>90.0</DopplerConeAng><GrazeAng>{graze}</GrazeAng>
<IncidenceAng>{90 - graze}</IncidenceAng><TwistAng>0.0</TwistAng><SlopeAng>{graze}</SlopeAng><AzimAng>{azimuth}</AzimAng>
<LayoverAng>0.0</LayoverAng></SCPCOA>
</SICD>"""


def write_sicd(
    path: Path,
    image: np.ndarray,
    pixel_type: str = "RE32F_IM32F",
    azimuth: float = 123.5,
    graze: float = 17.0,
    table: Any = None,
) -> None:
    """Write pixels in the type that sarkit gives them; ``table`` is the amplitude of every 8-bit code."""
    import lxml.etree
    import sarkit.sicd

    rows, columns = image.shape
    entries = "" if table is None else "".join(f"<Amplitude index='{k}'>{v}</Amplitude>" for k, v in enumerate(table))
    xml = sicd_xml(
        rows,
        columns,
        pixel_type,
        azimuth,
        graze,
        f"<AmpTable size='256'>{entries}</AmpTable>" if table is not None else "",
    )
    security = sarkit.sicd.NitfSecurityFields(clas="U")
    metadata = sarkit.sicd.NitfMetadata(
        xmltree=lxml.etree.ElementTree(lxml.etree.fromstring(xml)),
        file_header_part=sarkit.sicd.NitfFileHeaderPart(ostaid="test", security=security),
        im_subheader_part=sarkit.sicd.NitfImSubheaderPart(isorce="test", security=security),
        de_subheader_part=sarkit.sicd.NitfDeSubheaderPart(security=security),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # sarkit's own; that the XML breaks its schema still fails
        with sarkit.sicd.NitfWriter(file, metadata) as writer:
            writer.write_image(image)
