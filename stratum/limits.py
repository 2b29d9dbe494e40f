"""Named limits on everything a stranger can grow, with where each number comes from and what happens at it.

Sources are the Stratum security notes (attack classes, and a table of what ckpool, datum_gateway, btcpool,
node-stratum-pool, Miningcore, para and p2poolv2 do). All are configurable; times are monotonic seconds.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """One set per server. The comment behind a field says what others use, the docstring of its user what happens."""

    # Bytes and messages of one connection.
    line_bytes: int = 4096  # ckpool 1,024, p2poolv2 8 KiB, datum 50 KiB: a login of 512 bytes fits many times over
    unparsed_bytes: int = 16384  # four lines; what we hold of a peer that never sends a newline or sends too fast
    messages_per_read: int = 32  # NOMP #168: 15 authorizes in one packet; the rest waits for a later reactor turn
    malformed_lines: int = 8  # answered with an error each; ckpool drops at the first, a firmware bug deserves a few
    unsent_bytes: int = 262_144  # slow reader: some 60 jobs of 4 kB; Twisted alone would buffer without end
    unsent_progress_s: float = 30.0  # bytes waiting and none taken for so long: the peer is gone or hostile
    closing_s: float = 5.0  # time for a last answer to leave before the socket is reset

    # Messages of one connection that last; what a port asks for by its own settings is never a flood.
    fast_ratio: float = 10.0  # of the rate vardiff aims at: a higher difficulty no longer waits for the next job
    fast_s: float = 10.0
    flood_per_s: float = 50.0  # then the connection ends; p2poolv2 considered 10/s
    flood_s: float = 10.0

    # Time allowed for the steps of a connection.
    first_line_s: float = 10.0  # datum allows 15 s to subscribe, btcpool 15 s to the first read
    authorize_s: float = 30.0  # p2poolv2 #336: slots were filled by connections that never logged in
    idle_s: float = 600.0  # btcpool, node-stratum-pool, para: 600 s without any line
    no_valid_share_s: float = 7200.0  # datum: 7,200 s to the first share

    # Logins of one connection.
    login_bytes: int = 512  # as words.LOGIN_BYTES; a longer one is refused before anything looks at it
    workers_per_connection: int = 256  # farm proxies carry a rack on one connection; each costs a route in memory
    authorizes_per_connection: int = 1024  # questions put to the pool, granted or not
    refused_authorizes_free: int = 3  # a typing error or two; then the back-off below (ckpool: 3 s)
    refused_backoff_s: float = 3.0
    refused_backoff_maximum_s: float = 60.0

    # Invalid shares: ckpool's ladder, climbed only by further invalid shares.
    invalid_run_shares: float = 5.0  # weight of consecutive invalid shares before time counts at all
    invalid_fresh_job_s: float = 60.0
    invalid_reconnect_s: float = 120.0
    invalid_drop_s: float = 180.0
    ban_shares: int = 200  # node-stratum-pool: 50 % of 500; Miningcore: 50 % of 50
    ban_invalid_fraction: float = 0.5
    ban_s: float = 600.0  # node-stratum-pool

    # Addresses. IPv6 counts by /64, because one customer owns that many addresses.
    connections_total: int = 20_000  # lowered to 90 % of the process's open-file limit (ckpool)
    connections_per_address: int = 1024  # a farm behind one NAT address
    accepts_per_address_per_s: float = 20.0  # also the burst; bfgminer's getwork probe reconnects twice a second
    logins_per_address_per_s: float = 60.0  # burst: five seconds' worth; NOMP #168: 15 authorizes in each packet
    workers_per_address: int = 8192  # logins of live connections, each some kilobytes with its route
    accepts_per_s: float = 200.0  # also the burst; a reconnect storm of 10,000 miners is in after 50 s
    addresses_remembered: int = 65_536  # beyond it a new address is turned away until the sweep forgets old ones
    exempt_loopback: bool = False  # a proxy in front, tests: for 127.0.0.0/8 no limit by address, ban or flood

    # Answers larger than their questions.
    reoffer_interval_s: float = 2.0  # a job is sent again at most this often because a difficulty changed
    transactions_bytes: int = 131_072  # mining.get_transactions: half of unsent_bytes
    transactions_interval_s: float = 10.0
