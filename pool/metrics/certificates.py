"""The metric of the certificates at Stratum ports with TLS."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pool.metrics.collector import Reading, TableCollector
from stratum.tls import Certificate


class CertificateCollector(TableCollector):
    """Reads once per scrape what the ports show now, which a reload renews."""

    def __init__(self, certificates: Mapping[str, Certificate]) -> None:
        """`certificates` by the port's address in the configuration."""
        self._certificates = certificates
        super().__init__({"certificate_end_timestamp_seconds": self._ends})

    def _ends(self) -> Iterator[Reading]:
        for bind, certificate in self._certificates.items():
            if certificate.end_s is not None:
                yield (bind,), certificate.end_s
