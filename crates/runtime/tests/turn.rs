//! The turn, driven by the smallest face there is.
#![allow(clippy::unwrap_used, reason = "a failure is the test's")]

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use boros::reactor::{Clock, Direction, Events, Poller, Readiness, Time};
use boros::{Engine, Face, Inbox, Kinds, turn};

type Name = &'static str;

/// A job: what to note when it runs, and what to do then.
enum Job {
    Note(Name),
    Do(Name, Box<dyn Fn(&Toy) + Send>),
    Fail(Name),
}

struct ToyKinds;

impl Kinds for ToyKinds {
    type Job = Job;
    type Remote = Job;
    type Target = Name;
    /// The name, and whether it was cancelled.
    type Timer = (Name, bool);

    fn received(job: Job) -> Job {
        job
    }

    fn ready(target: &Name, _fd: RawFd, _direction: Direction, _readiness: Readiness) -> Job {
        Job::Note(target)
    }

    fn expired(timer: (Name, bool)) -> Result<Job, (Name, bool)> {
        if timer.1 { Err(timer) } else { Ok(Job::Note(timer.0)) }
    }

    fn is_cancelled(timer: &(Name, bool)) -> bool {
        timer.1
    }
}

/// A loop that notes what it does.
struct Toy {
    engine: RefCell<Engine<ToyKinds>>,
    ran: RefCell<Vec<Name>>,
    /// How long each wait was to be.
    waits: RefCell<Vec<Option<Duration>>>,
    /// What the next looks for signals answer.
    interruptions: RefCell<VecDeque<Name>>,
    /// What to do before a wait, as finalizers may.
    before_wait: RefCell<Option<Job>>,
    failing_waits: Cell<u32>,
}

impl Toy {
    fn new(clock: Clock) -> Toy {
        Toy {
            engine: RefCell::new(Engine::new(clock).unwrap()),
            ran: RefCell::default(),
            waits: RefCell::default(),
            interruptions: RefCell::default(),
            before_wait: RefCell::default(),
            failing_waits: Cell::new(0),
        }
    }

    fn simulated() -> (Toy, Clock) {
        let clock = Clock::simulated(Time::from_nanos(0));
        (Toy::new(clock.clone()), clock)
    }

    fn note(&self, name: Name) {
        self.with(|engine| engine.push(Job::Note(name)));
    }

    fn timer(&self, when: i64, name: Name) {
        self.with(|engine| engine.push_timer(Time::from_nanos(when), (name, false)));
    }

    fn inbox(&self) -> Arc<Inbox<Job>> {
        self.with(|engine| Arc::clone(engine.inbox()))
    }

    /// One turn, and what ran in it.
    fn turn(&self) -> Result<Vec<Name>, Name> {
        self.ran.borrow_mut().clear();
        turn(self)?;
        Ok(self.ran.take())
    }
}

impl Face for Toy {
    type Kinds = ToyKinds;
    type Error = Name;

    fn with<R>(&self, f: impl FnOnce(&mut Engine<ToyKinds>) -> R) -> R {
        // A second borrow would panic: the engine must not be lent while a job runs.
        f(&mut self.engine.borrow_mut())
    }

    fn wait(
        &self,
        poller: &Poller,
        events: &mut Events,
        timeout: Option<Duration>,
    ) -> io::Result<()> {
        let mut timeout = timeout;
        if timeout != Some(Duration::ZERO)
            && let Some(job) = self.before_wait.take()
        {
            self.run(job).unwrap();
            timeout = self.with(|engine| engine.timeout());
        }
        self.waits.borrow_mut().push(timeout);
        if self.failing_waits.get() > 0 {
            self.failing_waits.set(self.failing_waits.get() - 1);
            return Err(io::ErrorKind::InvalidInput.into());
        }
        poller.wait(events, timeout.or(Some(Duration::from_secs(10))))
    }

    fn interrupted(&self) -> Result<(), Name> {
        self.interruptions.borrow_mut().pop_front().map_or(Ok(()), Err)
    }

    fn failed(&self, _error: io::Error) -> Name {
        "wait failed"
    }

    fn run(&self, job: Job) -> Result<(), Name> {
        match job {
            Job::Note(name) => self.ran.borrow_mut().push(name),
            Job::Do(name, action) => {
                self.ran.borrow_mut().push(name);
                action(self);
            }
            Job::Fail(name) => return Err(name),
        }
        Ok(())
    }
}

fn action(name: Name, action: impl Fn(&Toy) + Send + 'static) -> Job {
    Job::Do(name, Box::new(action))
}

#[test]
fn jobs_run_in_order_and_what_they_queue_waits_for_the_next_turn() {
    let (toy, _) = Toy::simulated();
    toy.with(|engine| engine.push(action("a", |toy| toy.note("from a"))));
    toy.note("b");
    assert_eq!(toy.turn().unwrap(), ["a", "b"]);
    assert_eq!(toy.turn().unwrap(), ["from a"]);
}

#[test]
fn ready_jobs_come_first_then_descriptors_then_timers() {
    let (toy, clock) = Toy::simulated();
    let (mut sender, receiver) = UnixStream::pair().unwrap();
    sender.write_all(b"x").unwrap();
    let fd = receiver.as_raw_fd();
    toy.with(|engine| engine.watch(fd, Direction::Read, "readable")).unwrap();
    toy.timer(5, "timer");
    clock.advance_to(Time::from_nanos(1_000_000));
    toy.note("job");
    // The first look of a busy loop at the poller is not delayed.
    assert_eq!(toy.turn().unwrap(), ["job", "readable", "timer"]);
    assert_eq!(toy.with(|engine| engine.unwatch(fd, Direction::Read)), Some("readable"));
}

#[test]
fn equal_timers_keep_their_order_and_a_later_one_waits() {
    let (toy, clock) = Toy::simulated();
    for name in ["a", "b", "c"] {
        toy.timer(7, name);
    }
    toy.timer(8, "later");
    toy.timer(3, "first");
    clock.advance_to(Time::from_nanos(5));
    assert_eq!(toy.turn().unwrap(), ["first"]);
    clock.advance_to(Time::from_nanos(6));
    toy.note("job");
    // A timer that is due within the clock's resolution is due.
    assert_eq!(toy.turn().unwrap(), ["job", "a", "b", "c"]);
    clock.advance_to(Time::from_nanos(8));
    assert_eq!(toy.turn().unwrap(), ["later"]);
}

#[test]
fn a_timer_that_a_job_makes_due_waits_for_the_next_turn() {
    let (toy, clock) = Toy::simulated();
    clock.advance_to(Time::from_nanos(100));
    toy.with(|engine| engine.push(action("job", |toy| toy.timer(50, "timer"))));
    assert_eq!(toy.turn().unwrap(), ["job"]);
    assert_eq!(toy.turn().unwrap(), ["timer"]);
}

#[test]
fn cancelled_timers_do_not_run() {
    let (toy, clock) = Toy::simulated();
    toy.with(|engine| engine.push_timer(Time::from_nanos(1), ("cancelled", true)));
    toy.timer(1, "kept");
    clock.advance_to(Time::from_nanos(1));
    assert_eq!(toy.turn().unwrap(), ["kept"]);
    assert_eq!(toy.with(|engine| engine.timers().count()), 0);
}

#[test]
fn many_cancelled_timers_are_handed_out() {
    let (toy, _) = Toy::simulated();
    for when in 0..200 {
        toy.with(|engine| engine.push_timer(Time::from_nanos(when), ("dead", true)));
    }
    toy.timer(1000, "alive");
    let dead: usize = (0..200).map(|_| toy.with(Engine::timer_cancelled).len()).sum();
    assert!(dead >= 100, "{dead} were handed out");
    assert!(toy.with(|engine| engine.timers().any(|timer| timer.0 == "alive")));
}

#[test]
fn the_wait_is_as_long_as_there_is_nothing_to_do() {
    let (toy, clock) = Toy::simulated();
    toy.inbox().push(Job::Note("pushed"));
    toy.turn().unwrap();
    // Pushed before the turn: it was found without waiting, or by a wait of no time.
    assert!(toy.waits.take().iter().all(|wait| *wait == Some(Duration::ZERO)));

    toy.timer(2_000_000, "timer");
    toy.turn().unwrap();
    assert_eq!(toy.waits.take(), [Some(Duration::from_millis(2))]);
    clock.advance_to(Time::from_nanos(5_000_000));
    toy.turn().unwrap();
    assert_eq!(toy.waits.take(), [Some(Duration::ZERO)]);
    assert_eq!(toy.with(|engine| engine.timers().count()), 0);

    toy.timer(i64::MAX, "never");
    let longest = toy.with(|engine| engine.timeout()).unwrap();
    assert_eq!(longest, Duration::from_secs(24 * 3600));
}

#[test]
fn what_is_queued_just_before_a_wait_shortens_it() {
    let (toy, _) = Toy::simulated();
    *toy.before_wait.borrow_mut() = Some(action("finalizer", |toy| toy.note("asked for")));
    assert_eq!(toy.turn().unwrap(), ["finalizer", "asked for"]);
    assert_eq!(toy.waits.take(), [Some(Duration::ZERO)]);
}

#[test]
fn stopping_lets_the_turn_end_and_does_not_wait() {
    let (toy, _) = Toy::simulated();
    toy.with(|engine| engine.push(action("stop", |toy| toy.with(Engine::stop))));
    toy.note("same turn");
    assert_eq!(toy.turn().unwrap(), ["stop", "same turn"]);
    assert!(toy.with(|engine| engine.is_stopping()));
    assert!(toy.with(Engine::take_stop));
    assert!(!toy.with(Engine::take_stop));

    // Asked before the turn: one turn is made, without a wait.
    toy.with(Engine::stop);
    toy.waits.take();
    assert_eq!(toy.turn().unwrap(), [""; 0]);
    assert!(toy.waits.take().iter().all(|wait| *wait == Some(Duration::ZERO)));
}

#[test]
fn an_error_ends_the_turn_and_the_jobs_behind_it_stay() {
    let (toy, _) = Toy::simulated();
    toy.note("a");
    toy.with(|engine| engine.push(Job::Fail("error")));
    toy.note("b");
    assert_eq!(toy.turn(), Err("error"));
    assert_eq!(toy.ran.take(), ["a"]);
    toy.note("c");
    assert_eq!(toy.turn().unwrap(), ["b", "c"]);
}

#[test]
fn an_interruption_loses_nothing() {
    let (toy, _) = Toy::simulated();
    let (mut sender, receiver) = UnixStream::pair().unwrap();
    sender.write_all(b"x").unwrap();
    toy.with(|engine| engine.watch(receiver.as_raw_fd(), Direction::Read, "readable")).unwrap();
    toy.interruptions.borrow_mut().push_back("signal");
    assert_eq!(toy.turn(), Err("signal"));
    assert_eq!(toy.ran.take(), [""; 0]);
    assert_eq!(toy.turn().unwrap()[0], "readable");
}

#[test]
fn a_failed_wait_ends_the_turn_and_the_next_one_works() {
    let (toy, _) = Toy::simulated();
    toy.failing_waits.set(1);
    assert_eq!(toy.turn(), Err("wait failed"));
    toy.inbox().push(Job::Note("after"));
    assert_eq!(toy.turn().unwrap(), ["after"]);
}

#[test]
fn a_busy_loop_looks_at_its_descriptors_within_bounds() {
    let toy = Toy::new(Clock::monotonic());
    let (mut sender, receiver) = UnixStream::pair().unwrap();
    toy.with(|engine| engine.watch(receiver.as_raw_fd(), Direction::Read, "readable")).unwrap();
    toy.note("busy");
    toy.turn().unwrap();
    sender.write_all(b"x").unwrap();
    let mut turns = 0;
    loop {
        turns += 1;
        toy.note("busy");
        if toy.turn().unwrap().contains(&"readable") {
            break;
        }
        assert!(turns < 100, "the descriptor was forgotten");
    }
}

#[test]
fn a_busy_loop_without_descriptors_looks_for_signals_within_bounds() {
    let toy = Toy::new(Clock::monotonic());
    for _ in 0..2000 {
        toy.note("busy");
        toy.turn().unwrap();
    }
    let looks = toy.waits.take().len();
    assert!((2..200).contains(&looks), "{looks} looks in 2000 turns");
}

#[test]
fn a_quiet_descriptor_is_not_forgotten_either() {
    let toy = Toy::new(Clock::monotonic());
    let (mut sender, receiver) = UnixStream::pair().unwrap();
    toy.with(|engine| {
        engine.set_quiet(1);
        engine.watch(receiver.as_raw_fd(), Direction::Read, "signal")
    })
    .unwrap();
    sender.write_all(b"x").unwrap();
    let mut turns = 0;
    loop {
        turns += 1;
        toy.note("busy");
        if toy.turn().unwrap().contains(&"signal") {
            break;
        }
        assert!(turns < 1000, "the descriptor was forgotten");
    }
}

#[test]
fn a_descriptor_that_is_no_longer_watched_is_not_told_of() {
    let (toy, _) = Toy::simulated();
    let (mut sender, receiver) = UnixStream::pair().unwrap();
    let fd = receiver.as_raw_fd();
    toy.with(|engine| engine.watch(fd, Direction::Read, "old")).unwrap();
    sender.write_all(b"x").unwrap();
    toy.with(|engine| engine.unwatch(fd, Direction::Read));
    toy.with(|engine| engine.watch(fd, Direction::Read, "new")).unwrap();
    assert_eq!(toy.turn().unwrap(), ["new"]);
    assert_eq!(toy.with(|engine| engine.watcher(fd, Direction::Read).copied()), Some("new"));
    assert_eq!(toy.with(|engine| engine.watchers().count()), 1);
}

#[test]
fn a_thread_ends_a_wait() {
    let toy = Toy::new(Clock::monotonic());
    let inbox = toy.inbox();
    let thread = std::thread::spawn(move || inbox.push(Job::Note("from outside")));
    assert_eq!(toy.turn().unwrap(), ["from outside"]);
    thread.join().unwrap();

    let inbox = toy.inbox();
    let thread = std::thread::spawn(move || inbox.wake());
    toy.timer(toy.with(|engine| engine.clock().now()).as_nanos() + 3_600_000_000_000, "hour");
    // Woken without a job, or before it waited: then something has to come.
    thread.join().unwrap();
    toy.inbox().push(Job::Note("job"));
    assert_eq!(toy.turn().unwrap(), ["job"]);
}

#[test]
fn no_job_of_several_threads_is_lost() {
    const THREADS: usize = 4;
    const JOBS: usize = 20_000;
    let toy = Toy::new(Clock::monotonic());
    let names: [Name; THREADS] = ["a", "b", "c", "d"];
    let threads: Vec<_> = names
        .into_iter()
        .map(|name| {
            let inbox = toy.inbox();
            std::thread::spawn(move || {
                for number in 0..JOBS {
                    inbox.push(Job::Note(name));
                    if number % 64 == 0 {
                        std::thread::yield_now();
                    }
                }
            })
        })
        .collect();
    let mut counts = [0; THREADS];
    // Each turn without jobs waits without a limit but that of the toy: a lost wake-up shows as one of seconds.
    while counts.iter().sum::<usize>() < THREADS * JOBS {
        for ran in toy.turn().unwrap() {
            counts[names.iter().position(|name| *name == ran).unwrap()] += 1;
        }
    }
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!(counts, [JOBS; THREADS]);
}

#[test]
fn a_cleared_engine_hands_everything_out() {
    let (toy, _) = Toy::simulated();
    let (_sender, receiver) = UnixStream::pair().unwrap();
    toy.with(|engine| engine.watch(receiver.as_raw_fd(), Direction::Read, "reader")).unwrap();
    toy.note("job");
    toy.inbox().push(Job::Note("pushed"));
    toy.timer(1, "timer");
    let contents = toy.with(Engine::clear);
    assert_eq!(contents.ready.len(), 2);
    assert_eq!(contents.timers, [("timer", false)]);
    assert_eq!(contents.targets, ["reader"]);
    assert_eq!(toy.with(|engine| engine.ready().len()), 0);
}

#[test]
fn another_clock_decides_what_is_due() {
    let (toy, _) = Toy::simulated();
    toy.timer(1_000, "timer");
    toy.with(|engine| engine.set_clock(Clock::simulated(Time::from_nanos(2_000))));
    assert_eq!(toy.turn().unwrap(), ["timer"]);
}
