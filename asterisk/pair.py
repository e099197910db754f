"""The engine's Asterisk and the demo carrier, wired to each other on loopback: for `make run` and for tests."""

from dataclasses import dataclass
from pathlib import Path

from asterisk.carrier.plan import carrier_dialplan
from asterisk.conf import AsteriskInstance, Phone, Trunk
from asterisk.dialplans import engine_dialplan

RTP_PORTS_EACH = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class PairPorts:
    """UDP and TCP ports of both; `rtp` is the first of 2 × 2000."""

    sip: int
    ari: int
    ami: int
    carrier_sip: int
    carrier_ari: int
    carrier_ami: int
    rtp: int


def trunk_to_carrier(ports: PairPorts, *, name: str = "carrier", lines_max: int = 30) -> Trunk:
    """The engine's trunk to the demo carrier."""
    return Trunk(name=name, host="127.0.0.1", port=ports.carrier_sip, lines_max=lines_max)


def engine_asterisk(
    root: Path,
    ports: PairPorts,
    *,
    phones: tuple[Phone, ...],
    trunks: tuple[Trunk, ...],
    dialplan: dict[str, str] | None = None,
    language: str = "ru",
) -> AsteriskInstance:
    """The engine's own Asterisk."""
    return AsteriskInstance(
        name="engine",
        root=root,
        sip_port=ports.sip,
        http_port=ports.ari,
        ami_port=ports.ami,
        rtp_ports=(ports.rtp, ports.rtp + RTP_PORTS_EACH - 1),
        dialplan=engine_dialplan() if dialplan is None else dialplan,
        phones=phones,
        trunks=trunks,
        language=language,
    )


def carrier_asterisk(root: Path, ports: PairPorts, *, language: str = "ru") -> AsteriskInstance:
    """The demo carrier; whoever calls from the engine's SIP port is its customer."""
    rtp = ports.rtp + RTP_PORTS_EACH
    return AsteriskInstance(
        name="carrier",
        root=root,
        sip_port=ports.carrier_sip,
        http_port=ports.carrier_ari,
        ami_port=ports.carrier_ami,
        rtp_ports=(rtp, rtp + RTP_PORTS_EACH - 1),
        dialplan=carrier_dialplan(),
        trunks=(Trunk(name="engine", host="127.0.0.1", port=ports.sip, context="public", qualify_s=0),),
        language=language,
    )
