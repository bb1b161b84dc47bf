"""The probe engine: it knows probes, time and threads, and no web framework.

A request's walk
================

1. *Fresh.* A request asks :mod:`.monitor` for the status of a scope. The monitor reads the
   scope's :mod:`.record` from the :mod:`.cache`. If all of it is fresh, that is the answer: one
   look-up for each scope, one reading of the clock, no lock.
2. *Miss.* Otherwise this process's part of the engine answers (:mod:`.process`). It asks each
   :mod:`.scope` for every probe's entry in the record. If an entry is missing or too old, the
   request joins a :mod:`.flight` of the probe's :mod:`.lane`: the one on its way, or a new one.
   A new flight that would get no slot before the deadline is refused at once (:mod:`.slots`).
3. *Wait.* The request calls one thread (:mod:`.threads`) for all flights that have none, and
   waits for them together until the deadline. A request's thread never runs a probe.
4. *Run.* The called thread takes the flight from the lane's queue, and the :mod:`.runner` makes
   the run in it: in an empty context, with an app context of its own from the
   :mod:`.environment`. An event loop in that thread drives an async probe (:mod:`.coroutines`).
   What the probe returns or raises becomes an :mod:`.outcome`.
5. *Settle.* The thread claims the flight. The probe's keeper (:mod:`.record`) turns the outcome
   into the verdict, by the probe's policy, and replaces its entry. The verdict is announced
   once, as one of the :mod:`.events`, to all listeners. The flight lands, and every request
   that waits for it goes on.
6. *Overdue.* The watch (:mod:`.background`) looks at the lanes whenever a run may be overdue.
   It claims the flight, settles it as failed, and writes the thread off.
7. *Answer.* The request reads the records once more, since other entries may be too old by now,
   or renewed, and aggregates all results into a report.

The words
=========

:status: ``ok``, ``degraded`` or ``unavailable``, in this order. An answer is "available" unless
    its status is ``unavailable``.
:unknown: there is no verdict yet. It answers as unavailable. It is never kept, and no threshold
    counts it as a failure.
:scope: the service, or the organizations.
:key: what a scope keeps a record for: ``None`` for the service, or an organization's id. A
    probe and a key together are the unit of flights, thresholds and verdicts.
:run: one execution of a probe for a key. It is *overdue* once it is past its timeout.
:outcome: what one run came to: a result, and the exception behind it if there was one.
:flight: one run that all requests share which ask for its probe and key meanwhile.
:lane: the queue and the threads of one probe. A hung probe exhausts its own lane alone.
:slot: one run's place in a lane. A thread that hangs in an overdue run is *written off*: it
    gives its slot back, and counts as hung until it returns.
:settle: to turn an outcome into a verdict, once. The thread that *claims* a flight settles it.
:verdict: what holds for a probe and a key since the last run was settled. A threshold may keep
    it as it was, against the outcome of that run.
:record: what is kept of a scope for a key: its probes' *entries*, and the verdict over all.
:fresh, stale: within its TTL an entry is fresh. Up to ``max_stale`` longer it is stale: it is
    served while a run refreshes it. Beyond that it is not believed.
:event: the frozen announcement of something that was settled or given up. The log listens.
:report: a scope's verdict and the results that it came from.

What always holds
=================

Each rule is followed by the tests that were red without it.

1. At most one run of a probe and a key goes on in a process, but for overdue ones.
   ``engine/test_flight.py::test_requests_at_the_same_time_share_one_run``
2. No request outlives its deadline by more than 50 ms, whatever probes and name servers do.
   ``engine/test_flight.py::test_several_hung_probes_cost_one_deadline``
   ``servers/test_soak.py::test_no_answer_to_200_clients_is_late``
3. A fresh answer costs the same for any number of probes and organizations, and takes no lock.
   ``engine/test_monitor.py::test_a_fresh_scope_costs_one_look_whatever_its_probes``
4. A hung probe never changes the verdict of another probe, never exceeds its bounds, and never
   delays the exit of the process.
   ``engine/test_faults.py::test_a_probe_that_hangs_costs_one_deadline_and_leaves_others_alone``
   ``engine/test_faults.py::test_a_hung_probe_takes_no_more_threads_than_twice_its_slots``
   ``servers/test_processes.py::test_a_hung_run_delays_no_exit``
5. Nothing older than its TTL and ``max_stale`` is served. Steps of the system's time of day
   change nothing.
   ``engine/test_scope.py::test_a_result_beyond_max_stale_is_not_believed``
   ``engine/test_faults.py::test_no_verdict_asks_for_the_time_of_day``
6. A failure needs a run that has ended or is overdue. Without a slot or a thread, the result is
   unknown.
   ``engine/test_slots.py::test_no_capacity_is_neither_kept_nor_logged_as_a_failure``
7. A run that ends late never replaces a newer result.
   ``engine/test_lane.py::test_a_late_answer_never_replaces_a_newer_one``
8. Memory, threads, files and loops are bounded. After 10,000 runs there are no more of them
   than after 100, also under gevent, and also if runs end late.
   ``servers/test_soak.py::test_nothing_grows_over_100_000_runs``
   ``servers/test_gevent.py::test_runs_leave_no_files_and_no_threads``
9. A child that is forked at any moment answers. No thread exists before the first question.
   ``servers/test_processes.py::test_a_child_forked_at_any_moment_answers``
   ``servers/test_processes.py::test_no_thread_exists_before_the_first_question``
10. Each run has an empty context of its own, with an app context that outlives all that the run
    has started. It never sees a request.
    ``engine/test_runner.py::test_a_run_has_an_app_context_of_its_own_and_no_request``
    ``engine/test_runner.py::test_a_late_thread_of_a_cancelled_run_gives_its_connection_back``
11. The result of one organization is never given for another one.
    ``engine/test_monitor.py::test_organizations_do_not_share_a_result``
12. Thresholds count results that are truly consecutive.
    ``engine/test_record.py::test_verdicts_are_those_of_the_model``
13. With the default settings, a healthy organization is never answered as unavailable for want
    of a slot at ordinary scale: 1,000 organizations, 200 ms, every 5 s.
    ``servers/test_capacity.py::test_no_healthy_organization_reads_as_down``
14. Nothing that the engine starts or logs belongs to the request that happened to cause it.
    ``engine/test_threads.py::test_no_thread_begins_in_the_context_of_who_needs_it``
    ``engine/test_background.py::test_a_call_sees_no_context_but_its_own``
15. Tasks and coroutines of a probe are asyncio's own, so that libraries see what they expect.
    ``engine/test_coroutines.py::test_tasks_and_coroutines_are_what_asyncio_made``
16. An exception at any line of a request's thread leaves nothing that the next request, or the
    next look of the watch, does not mend.
    ``engine/test_interruptions.py::test_after_an_interruption_at_any_line_the_next_is_answered``
17. Whatever the engine gives up, it says so, with the reason, in the result and to listeners.
    ``engine/test_slots.py::test_when_all_hang_that_may_the_result_and_the_log_say_so``
    ``engine/test_events.py::test_an_answer_without_a_verdict_is_announced``
"""
