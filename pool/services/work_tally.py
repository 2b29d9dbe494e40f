"""What the accepted work should have found, per chain, at the price of two additions a share.

A share adds its weight to its job's sums; what that means for each of the job's chains is worked out when somebody
asks, or every few seconds, so that no job is kept alive for it.
"""

from __future__ import annotations

from chains.primitives.target import work_of
from pool.jobs.job import Job, near_target


class WorkTally:
    """`expected` and `expected_near` are by chain: solves, and near misses (solves included), that the accepted shares
    should hold. `near` are those that they held. All only grow."""

    __slots__ = ("_jobs", "expected", "expected_near", "near")

    def __init__(self) -> None:
        self.expected: dict[str, float] = {}
        self.expected_near: dict[str, float] = {}
        self.near: dict[str, int] = {}
        self._jobs: dict[Job, list[int]] = {}

    def add(self, job: Job, weight: int, value: int) -> None:
        """An accepted share of `weight` expected hashes, whose proof of work is `value`."""
        sums = self._jobs.get(job)
        if sums is None:
            sums = self._jobs[job] = [0, 0]
        sums[0] += weight
        sums[1] += 1
        if value <= job.near_target:
            self._came_near(job, value)

    def fold(self) -> None:
        """Works out what has been added since the last time."""
        jobs, self._jobs = self._jobs, {}
        for job, (weight, shares) in jobs.items():
            for chain, target in job.targets:
                near = weight / work_of(near_target(target))
                self.expected[chain] = self.expected.get(chain, 0.0) + weight / work_of(target)
                # Shares that are harder than the near target are near misses all of them, and not more than that.
                self.expected_near[chain] = self.expected_near.get(chain, 0.0) + min(near, float(shares))

    def _came_near(self, job: Job, value: int) -> None:
        for chain, target in job.targets:
            if value <= near_target(target):
                self.near[chain] = self.near.get(chain, 0) + 1
