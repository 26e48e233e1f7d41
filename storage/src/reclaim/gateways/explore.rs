//! Every order of the steps of a few gateways, up to a number of changes from one to another that nothing forces (most errors of this
//! kind need two): the code itself is run, not a model of it. What happens between two calls of the map or the store is one step. With
//! each protection taken away, the search must find the loss that it is against.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::task::{Wake, Waker};

use super::*;
use crate::session::SessionState;

/// Something that runs beside others.
type Task = Pin<Box<dyn Future<Output = ()>>>;

struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, SeqCst);
    }
}

/// A choice that was made, and how many there were.
#[derive(Clone, Copy)]
struct Choice {
    made: usize,
    of: usize,
}

/// Runs tasks to their end in the order of `path`, and goes on with whichever runs already where that ends; answers all choices.
fn run(mut tasks: Vec<Task>, path: &[Choice], changes_max: usize) -> Vec<Choice> {
    let woken: Vec<Arc<Woken>> = tasks.iter().map(|_| Arc::new(Woken(AtomicBool::new(true)))).collect();
    let mut left: Vec<usize> = (0..tasks.len()).collect();
    let (mut choices, mut changes, mut running) = (Vec::new(), 0, None);
    while !left.is_empty() {
        // The one that runs comes first.
        let mut ready: Vec<usize> = left.iter().copied().filter(|&task| woken[task].0.load(SeqCst)).collect();
        assert!(!ready.is_empty(), "all wait for each other");
        ready.sort_by_key(|task| (Some(*task) != running, *task));
        let goes_on = running == Some(ready[0]);
        let of = if goes_on && changes == changes_max { 1 } else { ready.len() };
        let made = path.get(choices.len()).map_or(0, |choice: &Choice| choice.made);
        choices.push(Choice { made, of });
        changes += usize::from(goes_on && made > 0);
        let task = ready[made];
        running = Some(task);
        woken[task].0.store(false, SeqCst);
        let waker = Waker::from(woken[task].clone());
        if tasks[task].as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
            left.retain(|other| *other != task);
        }
    }
    choices
}

/// Runs something whose steps nobody looks at.
fn alone<T>(work: impl Future<Output = T>) -> T {
    let mut work = std::pin::pin!(work);
    loop {
        if let Poll::Ready(done) = work.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return done;
        }
    }
}

/// Explores all orders; answers how many there were and what went wrong first. `make` makes the tasks anew, and what judges the end.
fn explore(
    changes_max: usize,
    mut make: impl FnMut() -> (Vec<Task>, Box<dyn FnOnce() -> Result<(), String>>),
) -> (usize, Option<String>) {
    let mut path: Vec<Choice> = Vec::new();
    let mut count = 0;
    loop {
        let (tasks, judge) = make();
        let choices = run(tasks, &path, changes_max);
        count += 1;
        if let Err(wrong) = judge() {
            return (count, Some(wrong));
        }
        path = choices;
        // The last choice that could have been another.
        while path.last().is_some_and(|choice| choice.made + 1 >= choice.of) {
            path.pop();
        }
        match path.last_mut() {
            Some(last) => last.made += 1,
            None => return (count, None),
        }
    }
}

fn changes() -> usize {
    std::env::var("SEALGATE_EXPLORE_CHANGES").ok().and_then(|text| text.parse().ok()).unwrap_or(2)
}

fn later() {
    let now = Timestamp::now();
    while Timestamp::now() == now {
        std::hint::spin_loop();
    }
}

const OPTIONS: SessionOptions = SessionOptions {
    heartbeat: Duration::from_secs(5),
    dead_after: Duration::from_secs(60),
    long_read: Duration::from_secs(3600),
};

/// One gateway puts an object; another takes its session for dead and sweeps. `is_ended`: it ends the session before it judges.
fn put_against_sweep(is_ended: bool) -> (usize, Option<String>) {
    explore(changes(), || {
        let (world, one, other) = alone(async {
            let world = World::new().await;
            let (one, _) = world.gateway(OPTIONS).await;
            let (other, _) = world.gateway(OPTIONS).await;
            (world, one, other)
        });
        let put = Rc::new(RefCell::new(None));
        let (writer, answer, sweeper) = (one.clone(), put.clone(), other.clone());
        let tasks: Vec<Task> = vec![
            Box::pin(async move {
                let done = writer.put("object", vec![7; 100]).await;
                *answer.borrow_mut() = Some(done);
            }),
            Box::pin(async move {
                let of = one.catalog.session().unwrap();
                let sessions = sweeper.catalog.sessions().await.unwrap();
                let dead = sessions.into_iter().find(|session| session.id == of).unwrap();
                if is_ended {
                    sweeper.catalog.end_session(&dead).await.unwrap();
                    sweeper.reclaimer.sweep().await.unwrap();
                } else {
                    sweeper.reclaimer.sweep_as_if_ended(dead).await.unwrap();
                }
            }),
        ];
        let judge = move || {
            let put = put.borrow_mut().take().unwrap();
            match alone(other.get("object", Pause::None)) {
                Read::Whole(whole) if whole == [7; 100] => {}
                Read::Absent if put.is_err() => {}
                read => return Err(format!("the put answered {put:?}, and then: {read:?}")),
            }
            // Nothing of a write that failed stays, but in quarantine.
            alone(other.reclaimer.sweep()).unwrap();
            match alone(world.rows()).len() {
                0 | 1 if put.is_ok() => Ok(()),
                0 => Ok(()),
                // It ended after the sweep had looked.
                _ if !is_ended => Ok(()),
                _ => {
                    let state = alone(other.catalog.sessions()).unwrap();
                    let swept = state.iter().any(|session| matches!(session.state, SessionState::Swept(_)));
                    // Its bytes came when the sweep was over: only its own gateway knows of them.
                    if swept { Ok(()) } else { Err("an orphan stays".to_owned()) }
                }
            }
        };
        (tasks, Box::new(judge))
    })
}

#[test]
fn a_put_against_a_sweep_loses_nothing_in_any_order() {
    let (count, wrong) = put_against_sweep(true);
    assert_eq!(wrong, None, "after {count} orders");
    println!("{count} orders of a put and a sweep");
    assert!(count > 50, "{count} orders are too few");
    let (count, wrong) = put_against_sweep(false);
    println!("found in order {count}: {wrong:?}");
    assert!(
        wrong.is_some(),
        "a sweep of a session that goes on loses what is acknowledged: the search must find it"
    );
}

/// How a reader is protected.
#[derive(Clone, Copy, PartialEq)]
enum Protection {
    /// As it is: registered since its request began, and waited for.
    Floors,
    /// The drain looks at its own gateway's readers only.
    OwnPins,
}

/// One gateway reads an object while another overwrites it, or moves its blob, and drains.
fn read_against_drain(is_moved: bool, protection: Protection) -> (usize, Option<String>) {
    explore(changes(), || {
        let (one, mut keeper, other, mut others) = alone(async {
            let world = World::new().await;
            let (one, keeper) = world.gateway(OPTIONS).await;
            let (other, others) = world.gateway(OPTIONS).await;
            one.put("object", vec![1; 100]).await.unwrap();
            (one, keeper, other, others)
        });
        let read = Rc::new(RefCell::new(Read::Absent));
        let (reader, answer) = (one.clone(), read.clone());
        let tasks: Vec<Task> = vec![
            Box::pin(async move {
                let done = reader.get("object", Pause::Step).await;
                *answer.borrow_mut() = done;
            }),
            Box::pin(async move {
                for _ in 0..3 {
                    keeper.heartbeat().await.unwrap();
                }
            }),
            Box::pin(async move {
                match is_moved {
                    true => {
                        let rows = other.blobs.list(None, 10).await.unwrap();
                        other.reclaimer.move_blob(&other.catalog, &rows[0]).await.unwrap();
                    }
                    false => other.put("object", vec![2; 100]).await.unwrap(),
                }
                later();
                for _ in 0..3 {
                    match protection {
                        Protection::Floors => drop(other.reclaimer.drain().await.unwrap()),
                        Protection::OwnPins => drop(other.reclaimer.drain_alone().await.unwrap()),
                    }
                    others.heartbeat().await.unwrap();
                }
            }),
        ];
        let judge = move || match &*read.borrow() {
            Read::Whole(whole) if *whole == [1; 100] || *whole == [2; 100] => Ok(()),
            read => Err(format!("a reader got: {read:?}")),
        };
        (tasks, Box::new(judge))
    })
}

#[test]
fn a_read_against_a_drain_is_whole_in_any_order() {
    for is_moved in [false, true] {
        let (count, wrong) = read_against_drain(is_moved, Protection::Floors);
        assert_eq!(wrong, None, "moved: {is_moved}, after {count} orders");
        println!("{count} orders of a read, heartbeats and a drain (moved: {is_moved})");
        assert!(count > 100, "{count} orders are too few");
        let (count, wrong) = read_against_drain(is_moved, Protection::OwnPins);
        println!("found in order {count}: {wrong:?}");
        assert!(
            wrong.is_some(),
            "a drain that knows its own readers only breaks others: the search must find it"
        );
    }
}

/// The drain does delete, once those who read have said that they read no more.
#[test]
fn what_was_displaced_goes_when_every_floor_has_passed() {
    alone(async {
        let world = World::new().await;
        let (one, mut keeper) = world.gateway(OPTIONS).await;
        let (other, mut others) = world.gateway(OPTIONS).await;
        one.put("object", vec![1; 100]).await.unwrap();
        let held = one.catalog.pin(VersionId::now());
        other.put("object", vec![2; 100]).await.unwrap();
        later();
        for _ in 0..5 {
            assert_eq!(
                other.reclaimer.drain().await.unwrap().displaced,
                0,
                "something runs there since before"
            );
            keeper.heartbeat().await.unwrap();
            others.heartbeat().await.unwrap();
            assert_eq!(one.reclaimer.drain().await.unwrap().displaced, 0, "another does it");
        }
        drop(held);
        assert_eq!(other.reclaimer.drain().await.unwrap().displaced, 0, "nobody has said so");
        keeper.heartbeat().await.unwrap();
        others.heartbeat().await.unwrap();
        assert_eq!(other.reclaimer.drain().await.unwrap().displaced, 1);
        assert_eq!(world.rows().await.len(), 1);
        assert_eq!(other.get("object", Pause::None).await, Read::Whole(vec![2; 100]));
    });
}
