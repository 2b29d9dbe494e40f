"""A job after the other: the bare line where that is all there is to say, everything else before it where it is not."""

from __future__ import annotations

from stratum.assignment import Assignment
from stratum.offer import JobOffer, PortPolicy
from stratum.outbox import Outbox

POLICY = PortPolicy(start_difficulty=64.0, minimum_difficulty=1.0, maximum_difficulty=1e6)
CAPS = (8.0, 1e9)


def offer(sequence: int, caps: tuple[float, ...] = (1e9,)) -> JobOffer:
    return JobOffer(sequence, f"{sequence:x}", b"job %d\n" % sequence, b"clean job %d\n" % sequence, False, caps)


def settled() -> Assignment:
    """It has job 1 under difficulty 64."""
    assignment = Assignment(POLICY, 1.0, 0.0)
    assert assignment.go_on(offer(1), 0) is None, "the first job comes with a difficulty"
    out = Outbox()
    assert assignment.give(offer(1), 0.0, None, out)
    assert b"set_difficulty" in out.take()
    return assignment


def test_assignment_goes_on_with_the_bare_line_shared_by_all():
    assignment, job = settled(), offer(2)
    assert assignment.go_on(job, 0) is job.notify and assignment.sequence == 2
    job = offer(3)
    assert assignment.go_on(job, 3) is job.notify_clean, "the tip moved since its last job"
    job = offer(4)
    assert assignment.go_on(job, 3) is job.notify
    assert assignment.go_on(job, 3) is None and assignment.go_on(offer(3), 3) is None, "only newer ones"


def test_assignment_goes_on_after_a_look_that_changed_nothing():
    """Each silent miner is looked at every few seconds: after that most have no need of another difficulty."""
    assignment = settled()
    assignment.moved(0.0, urgent=True)
    assignment.check(0.5)
    assert assignment.due > 0.5 and not assignment.wanted
    assert assignment.go_on(offer(2), 0) == b"job 2\n"
    assert assignment.terms.sent == assignment.terms.target((1e9,)) == 64.0


def test_assignment_does_not_go_on_when_the_difficulty_is_another():
    for change in (
        lambda assignment: assignment.ask(16.0, 0.0),
        lambda assignment: assignment.ask_minimum(128.0, 0.0),
        lambda assignment: assignment.adopt(PortPolicy(4.0, 4.0, 4.0), 0.0),
        lambda assignment: assignment.want_clean(),
        lambda assignment: assignment.check(1e6),
        lambda assignment: assignment.interrupt(),
    ):
        assignment = settled()
        change(assignment)
        assert assignment.go_on(offer(2), 0) is None
    assert settled().go_on(offer(2, (8.0, 1e9)), 0) is None, "a chain caps it"


def test_assignment_goes_on_again_after_what_there_was_to_say():
    assignment = settled()
    assignment.ask(16.0, 0.0)
    out = Outbox()
    assert assignment.give(offer(2), 1.0, None, out)
    assert b"set_difficulty" in out.take()
    assert assignment.go_on(offer(3), 0) == b"job 3\n"


def test_assignment_that_went_on_judges_a_job_sent_twice_at_its_lower_difficulty():
    assignment = settled()
    assert assignment.go_on(offer(2), 0)
    assert assignment.go_on(offer(3), 0)
    assert assignment.terms.ask(1e5, 1.0)
    assignment.wanted = True
    assert assignment.give(offer(3), 9.0, None, Outbox())
    assert assignment.terms.sent == 1e5
    assert [assignment.terms.for_job(sequence) for sequence in (1, 2, 3)] == [64.0] * 3
    assert assignment.go_on(offer(4), 0) is None, "the next job is worth more than this one"
    assert assignment.give(offer(4), 10.0, None, Outbox())
    assert assignment.terms.for_job(4) == 1e5 and assignment.go_on(offer(5), 0) == b"job 5\n"
