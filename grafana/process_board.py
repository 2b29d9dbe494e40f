"""Process: whether the machine keeps up."""

from __future__ import annotations

from panels import Board, Panel, Row

_OF = '{instance=~"$instance"}'

PROCESS = Board(
    uid="parapool-process",
    title="Parapool / Process",
    description="Whether the machine keeps up: loop, share log, books, disk, memory.",
    variables=("instance",),
    rows=(
        Row("Keeping up", (
            Panel(
                "Loop lag", [(f"parapool_reactor_lag_seconds{_OF}", "{{instance}}")], unit="s",
                normal="under 20 ms, the worst of each minute.", do="over 100 ms for minutes: too much to do, or the machine swaps.",
            ),
            Panel(
                "CPU", [(f"rate(parapool_process_cpu_seconds_total{_OF}[$__rate_interval])", "{{instance}}")], unit="percentunit",
                normal="well under 100 %: the loop has one core.", do="over 80 %: several processes, docs/operating/scale-out.md.",
            ),
            Panel(
                "Books behind", [(f"parapool_books_lag_seconds{_OF}", "{{instance}}")], unit="s",
                normal="under a second.", do="growing with the clock: the database or Redis is away.",
            ),
            Panel(
                "Shares not in the books", [(f"parapool_consumer_lag_shares{_OF}", "{{instance}}")],
                normal="those of the last half second.", do="only growing: the books do not keep up.",
            ),
        )),
        Row("Share log", (
            Panel(
                "Sync of the share log", [(f"parapool_share_fsync_seconds{_OF}", "{{instance}}")], unit="s", logarithmic=True,
                normal="1 to 5 ms on an SSD.", do="over 0.1 s: the disk is slow or shared; answers wait for it.",
            ),
            Panel(
                "Shares waiting for the disk", [(f"parapool_spool_pending_shares{_OF}", "{{instance}}")],
                normal="a handful.", do="thousands: the disk hangs.",
            ),
            Panel(
                "Size of the share log", [(f"parapool_spool_bytes{_OF}", "{{instance}}")], unit="bytes",
                normal="what `books.share_log_hours` keeps.", do="growing without end: the books are behind.",
            ),
            Panel(
                "Disk free", [(f"parapool_disk_free_bytes{_OF} / parapool_disk_size_bytes{_OF}", "{{instance}}")], unit="percentunit",
                normal="over 30 %.", do="under 10 %: DiskFull. A full disk stops the pool.",
            ),
        )),
        Row("Front ends (stratum.processes)", (
            Panel(
                "Front ends up", [(f"parapool_front_end_up{_OF}", "{{instance}} {{frontend}}")],
                normal="1 for each; two for a slot while a graceful restart moves miners.",
                do="0 for minutes: FrontEndDown.",
            ),
            Panel(
                "Connections of each", [(f"parapool_front_end_connections{_OF}", "{{instance}} {{frontend}}")],
                normal="about equal: the kernel deals connections out.", do="one without any: its log lines.",
            ),
            Panel(
                "CPU of each",
                [(f"rate(parapool_front_end_cpu_seconds_total{_OF}[$__rate_interval])", "{{instance}} {{frontend}}")],
                unit="percentunit",
                normal="well under 100 %, about equal.", do="over 80 %: one process more.",
            ),
            Panel(
                "Front ends started", [(f"increase(parapool_front_end_starts_total{_OF}[1h])", "{{instance}}")],
                normal="0; as many as there are after a graceful restart.", do="more: they die. FrontEndsDie.",
            ),
        )),
        Row("Memory, files, certificates", (
            Panel(
                "Memory", [(f"parapool_process_resident_memory_bytes{_OF}", "{{instance}}")], unit="bytes",
                normal="some 150 MB and 20 kB per connection; flat after the first hours.", do="a slope over days: report it with this picture.",
            ),
            Panel(
                "Open files",
                [(f"parapool_process_open_fds{_OF}", "{{instance}} open"), (f"parapool_process_max_fds{_OF}", "{{instance}} allowed")],
                logarithmic=True,
                normal="connections and some dozen.", do="near the limit miners are turned away: raise LimitNOFILE.",
            ),
            Panel(
                "Running since", [(f"time() - parapool_process_start_time_seconds{_OF}", "{{instance}}")], unit="s",
                normal="since your last restart.", do="it fell by itself: the log's last CRITICAL line.",
            ),
            Panel(
                "TLS certificate ends in",
                [(f"parapool_certificate_end_timestamp_seconds{_OF} - time()", "{{instance}} port {{port}}")], unit="s",
                normal="weeks, and up again with each renewal; empty without TLS.",
                do="under 14 days: CertificateEnds. Renewed and not up again: the pool was not reloaded.",
            ),
            Panel(
                "Series told", [('scrape_samples_scraped{job="parapool"}', "{{instance}}")],
                normal="some hundred, always under 2,200.", do="more is a fault of ours: report it.",
            ),
        )),
    ),
)  # fmt: skip
