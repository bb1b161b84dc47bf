"""The probe engine: it knows probes, time and threads, and no web framework.

A request's walk
================

1. *Fresh.* A request asks :mod:`.monitor` for the status of the service or of an organization.
   The monitor reads the service's :mod:`.record` from the :mod:`.cache` and, if an organization
   is asked about, that organization's record. If all entries are fresh, that is the answer: one
   look-up for each record, one reading of the clock, no lock.
2. *Stale or missing.* Otherwise the :mod:`.current` :mod:`.process` answers, which holds all
   that exists once in each process. It asks each :mod:`.scope` for every probe's entry. If the
   entry is not fresh, the request joins a :mod:`.flight` of the probe's :mod:`.lane`: the one
   on its way, or a new one. A new flight that would get no slot before the deadline is refused
   at once (:mod:`.slots`). A stale entry is used as it is, while a thread makes the flight's
   run. For any other entry the request waits.
3. *Wait.* The request calls a thread (:mod:`.threads`) for the flights that have none, and
   waits for all of them together until the deadline. At first a single thread makes all their
   runs. A millisecond later, each flight that has not begun gets a thread of its own. The
   thread of the request never runs a probe.
4. *Run.* The called thread takes the flight from the lane's queue, and the :mod:`.runner` makes
   the run in this thread. The run has an empty context, and in it an app context of its own
   from the :mod:`.environment`. If the probe is async, an event loop drives the run
   (:mod:`.coroutines`). What the probe returns or raises becomes an :mod:`.outcome`.
5. *Settle.* The thread claims the flight. The probe's keeper (:mod:`.record`) turns the outcome
   into the verdict, by the probe's policy, and replaces its :mod:`.entry`. The verdict is
   announced once, as one of the :mod:`.events`, to all listeners. If it has turned, the
   :mod:`.history` notes that. The flight lands, and every request that waits for it goes on.
6. *Overdue.* The watch (:mod:`.background`) looks at the lanes whenever a run may be overdue.
   For each overdue run, the watch claims the flight, settles it as failed, and writes the
   thread off.
7. *Answer.* After each wait the request reads the records again, since other entries may have
   expired meanwhile, or have been renewed. Then it aggregates all results into a report.

People ask for more than a verdict. The :mod:`.details` say what is known of each probe, and the
:mod:`.overview` how all organizations are. Some of the service's probes may be asked alone, as
one of the :mod:`.groups`. While one of the :mod:`.pauses` holds, step 2 uses its entry in the
place of the probe's own.

The words
=========

:status: ``ok``, ``degraded`` or ``unavailable``, in this order. An answer is "available" unless
    its status is ``unavailable``.
:result: a status and a message.
:unknown: a probe is unknown for a key while no verdict of it may be used. It then counts as
    unavailable. That is never kept, and no threshold counts it as a failure.
:scope: the service, or the organizations. The availability callback is a probe of each.
:key: ``None`` for the service, or an organization's id. A scope keeps one record for each key.
    Flights, thresholds and verdicts belong to a probe and a key together.
:policy: a probe's timing and thresholds, with the settings filled in.
:run: one execution of a probe for a key. It is *overdue* once it is past its timeout.
:runner: makes the runs of one probe.
:outcome: the result of one run, and the exception behind it if there was one.
:flight: one run of a probe for a key, from its queueing until it *lands*. Until then, all
    requests that need this probe for this key share the flight. It lands with an entry, or with
    the reason why there is none.
:lane: the flights, the queue and the slots of one probe. A hung probe exhausts its own lane
    alone.
:slot: the permission for one run of a lane. A thread that does not return in time is *written
    off*: it counts as *hung* until it returns. As many threads as there are slots may hang
    before a hung thread costs a slot.
:watch: the thread that looks after overdue runs.
:claim: to take the right to settle a flight. Only one thread gets it: the run's own, or the
    watch.
:settle: to turn an outcome into a verdict.
:verdict: the result that holds for a probe and a key now. Because of a threshold it may differ
    from the last outcome. The verdict of a record is that of all its probes together.
:streaks: how many results in a row have contradicted a verdict.
:entry: what is kept of a probe for a key: its verdict, since when that has its status, until
    when it is fresh, its streaks, and for people the facts of the last run, and the times of
    day.
:record: what is kept for a key: the entries of all probes of the scope, and their verdict.
:not applicable: an answer for an organization that does not have what the probe looks at. It
    counts for nothing, and no threshold counts it. The result after it is like a first one.
:transition: a verdict turned to another status. The first verdict is one only if it is bad.
:group: some of the service's probes, with a verdict of their own. The group ``live`` is empty.
:drain: an instance (a running server, with all its workers) asks to be sent no more requests:
    all of its groups but ``live`` are unavailable.
:pause: for a while a person says what a probe's verdict is, and no request starts a run.
:keeper: turns the outcomes of one probe into entries. Nobody else writes them.
:fresh, stale: within its TTL an entry is fresh. Up to ``max_stale`` longer it is stale: it is
    used while a run refreshes it. After that it is not used.
:timeout: a run's limit, from its start.
:deadline: a request's limit, over everything. Requests that share a flight share the deadline
    of the first request that waits for it.
:event: the frozen announcement that something was settled or given up. It says what the
    verdict was before, and how long that had held.
:listener: takes every event, and waits for no other listener. The log is one, and
    the signals are another.
:report: the answer for the service or an organization: its status, and each probe's result.

What always holds
=================

Each rule is followed by the tests that were red without it.

1. In a process, a probe has at most one run for a key that is not settled yet.
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
5. No entry is used that is older than its TTL and ``max_stale`` together. A step of the
   system's time of day changes nothing.
   ``engine/test_scope.py::test_a_result_beyond_max_stale_is_not_believed``
   ``engine/test_faults.py::test_no_verdict_goes_by_the_time_of_day``
6. A failure needs a run that has ended or is overdue. Without a slot or a thread, the result is
   unknown.
   ``engine/test_slots.py::test_no_capacity_is_neither_kept_nor_logged_as_a_failure``
7. A run that ends late never replaces a newer result.
   ``engine/test_lane.py::test_a_late_answer_never_replaces_a_newer_one``
8. Memory, threads, files and loops are bounded. After 10,000 runs there are no more of them
   than after 100, also under gevent, and also if runs end late.
   ``servers/test_soak.py::test_nothing_grows_over_many_runs``
   ``servers/test_gevent.py::test_runs_leave_no_files_and_no_threads``
9. A child process answers, at whatever moment it was forked. No thread exists before the first
   question.
   ``servers/test_processes.py::test_a_child_forked_at_any_moment_answers``
   ``servers/test_processes.py::test_no_thread_exists_before_the_first_question``
10. Each run has an empty context of its own, and in it an app context. The app context stays
    open until the last task of the run and its last call in ``asyncio.to_thread`` have ended. A
    run never sees a request.
    ``engine/test_runner.py::test_a_run_has_an_app_context_of_its_own_and_no_request``
    ``engine/test_runner.py::test_a_late_thread_of_a_cancelled_run_gives_its_connection_back``
11. The result of one organization is never given for another one. A caller who was refused has
    started nothing.
    ``engine/test_monitor.py::test_organizations_do_not_share_a_result``
    ``web/test_auth.py::test_each_step_happens_only_after_the_one_before``
12. Thresholds count results that are truly consecutive.
    ``engine/test_entry.py::test_verdicts_are_those_of_the_model``
13. With the default settings, a healthy organization is never answered as unavailable for want
    of a slot at ordinary scale: 1,000 organizations, each polled every 5 s, with a probe that
    takes 200 ms.
    ``servers/test_capacity.py::test_no_healthy_organization_reads_as_down``
14. No thread, run, event or log line carries the context of the request that caused it.
    ``engine/test_threads.py::test_no_thread_begins_in_the_context_of_who_needs_it``
    ``engine/test_events.py::test_a_listener_hears_in_an_empty_context``
    ``engine/test_background.py::test_a_call_sees_no_context_but_its_own``
    ``servers/test_processes.py::test_without_a_thread_the_log_says_so_and_shows_no_request``
15. Tasks and coroutines of a probe are asyncio's own, so that libraries see what they expect.
    ``engine/test_coroutines.py::test_tasks_and_coroutines_are_what_asyncio_made``
16. If an exception interrupts a request's thread at any line, the next request or the next look
    of the watch repairs what it has left.
    ``engine/test_interruptions.py::test_after_an_interruption_at_any_line_the_next_is_answered``
17. If a request is answered without a verdict, an event says why (at most once a minute for
    each probe). If the probe could not be run, so does the result.
    ``engine/test_slots.py::test_when_all_hang_that_may_the_result_and_the_log_say_so``
    ``engine/test_events.py::test_an_answer_without_a_verdict_is_announced``
"""
