import threading
import time

import pytest

from geodiff_sar.core.errors import Interrupted
from geodiff_sar.core.work import memory_bytes, processors, run_jobs


@pytest.mark.parametrize("workers", [1, 3])
def test_every_job_is_done_once_whatever_the_order(workers):
    jobs = list(range(20))
    done = dict(run_jobs(jobs, lambda job: (time.sleep(0.001 * (job % 3)), job**2)[1], workers, "squares"))
    assert done == {job: job**2 for job in jobs}


def test_an_error_stops_the_rest_and_is_passed_on():
    started = []

    def work(job: int) -> int:
        started.append(job)
        if job == 2:
            raise ValueError("job 2")
        return job

    with pytest.raises(ValueError, match="job 2"):
        list(run_jobs(list(range(100)), work, 2, "jobs"))
    assert len(started) < 20


def test_ctrl_c_finishes_what_is_under_way_and_says_how_far_it_came():
    under_way, finished = threading.Event(), []

    def work(job: int) -> int:
        if job == 3:
            under_way.wait(5)
            raise KeyboardInterrupt
        if job == 4:
            under_way.set()
            time.sleep(0.1)
        finished.append(job)
        return job

    with pytest.raises(Interrupted, match=r"after [0-9]+ of 50 things; run the same command again to go on"):
        list(run_jobs(list(range(50)), work, 2, "jobs", "things"))
    assert 4 in finished
    assert len(finished) < 20


def test_no_jobs_and_no_nonsense_about_the_machine():
    assert list(run_jobs([], lambda job: job, 4, "nothing")) == []
    assert processors() >= 1
    memory = memory_bytes()
    assert memory is None or memory > 2**27
