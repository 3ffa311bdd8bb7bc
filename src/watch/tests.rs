//! Who is woken, when, and how often.

use std::sync::atomic::AtomicU64;

use super::*;

/// Keeps the wake-ups for a test to look at.
#[derive(Clone, Default)]
struct Woken(Arc<Mutex<Vec<u64>>>);

impl Wake for Woken {
    fn wake(&self, tickets: Vec<Ticket>) {
        self.0.lock().extend(tickets.iter().map(|ticket| ticket.id));
    }
}

impl Woken {
    fn take(&self) -> Vec<u64> {
        std::mem::take(&mut self.0.lock())
    }
}

fn watches(max: usize) -> (Watches, Woken, Arc<Metrics>) {
    let (woken, metrics) = (Woken::default(), Arc::new(Metrics::default()));
    (Watches::new(woken.clone(), max, Arc::clone(&metrics)), woken, metrics)
}

fn ticket(id: u64) -> Ticket {
    Ticket { sink: 0, id }
}

fn row(key: &'static str) -> Topic {
    Topic::Row(Bytes::from_static(key.as_bytes()))
}

fn rows(prefix: &'static str) -> Topic {
    Topic::Rows(Bytes::from_static(prefix.as_bytes()))
}

fn change(watches: &Watches, keys: &[&'static str]) {
    let keys = keys.iter().map(|key| Bytes::from_static(key.as_bytes()));
    watches.changed(&Changes::Rows(keys.collect()));
}

#[test]
fn a_change_wakes_those_it_concerns_and_nobody_else() {
    let (watches, woken, metrics) = watches(10);
    let all: Vec<Watch> = [row("a/b"), row("a"), rows("a/"), rows("a/b/"), rows("")]
        .into_iter()
        .map(|topic| watches.watch(vec![topic]).unwrap())
        .collect();
    for (id, watch) in (0..).zip(&all) {
        assert!(!watch.arm(ticket(id)));
    }
    change(&watches, &["a/b"]);
    assert_eq!(woken.take(), [0, 2, 4]);
    change(&watches, &["a/b/c"]);
    assert_eq!(woken.take(), [3], "the others have been told and have not asked again");
    change(&watches, &["b"]);
    assert_eq!(woken.take(), [] as [u64; 0]);
    assert_eq!((metrics.watch_wakeups.get(), metrics.watches.get()), (4, 5));
}

#[test]
fn several_changes_and_several_topics_are_one_wake_up() {
    let (watches, woken, _) = watches(10);
    let watch = watches.watch(vec![row("a"), row("b"), rows("")]).unwrap();
    assert!(!watch.arm(ticket(7)));
    change(&watches, &["a", "b", "c"]);
    change(&watches, &["a"]);
    assert_eq!(woken.take(), [7]);
}

#[test]
fn a_change_between_registering_and_arming_is_not_lost() {
    let (watches, woken, _) = watches(10);
    let watch = watches.watch(vec![row("a")]).unwrap();
    change(&watches, &["a"]);
    assert!(watch.arm(ticket(1)));
    assert!(watch.arm(ticket(1)), "it stays changed until it is reset");
    watch.reset();
    assert!(!watch.arm(ticket(2)));
    change(&watches, &["a"]);
    assert_eq!(woken.take(), [2]);
    assert!(watch.arm(ticket(3)), "woken is changed, too");
}

#[test]
fn only_the_newest_ticket_is_woken_and_none_after_a_reset() {
    let (watches, woken, _) = watches(10);
    let watch = watches.watch(vec![row("a")]).unwrap();
    assert!(!watch.arm(ticket(1)));
    assert!(!watch.arm(ticket(2)));
    change(&watches, &["a"]);
    assert_eq!(woken.take(), [2]);
    watch.reset();
    change(&watches, &["a"]);
    assert_eq!(woken.take(), [] as [u64; 0]);
}

#[test]
fn who_asks_for_news_is_told_which_rows() {
    let (watches, _, _) = watches(10);
    let watch = watches.watch(vec![rows("a/")]).unwrap();
    change(&watches, &["a/0"]);
    assert_eq!(watch.take_news(), News::Anything, "nobody had asked");
    assert_eq!(watch.take_news(), News::Rows(BTreeSet::new()));
    change(&watches, &["a/1", "b/1", "a/2"]);
    change(&watches, &["a/1"]);
    assert!(watch.arm(ticket(1)));
    let told = ["a/1", "a/2"].map(|key| Bytes::from_static(key.as_bytes()));
    assert_eq!(watch.take_news(), News::Rows(told.into()));
    watches.changed(&Changes::All);
    assert_eq!(watch.take_news(), News::Anything);
    let many = |count| {
        let rows = (0..count).map(|n| Bytes::from(format!("a/{n:04}")));
        watches.changed(&Changes::Rows(rows.collect()));
    };
    many(NEWS_MAX);
    assert!(matches!(watch.take_news(), News::Rows(rows) if rows.len() == NEWS_MAX));
    many(NEWS_MAX + 1);
    assert_eq!(watch.take_news(), News::Anything, "a bound on what is remembered");
}

#[test]
fn another_state_wakes_everybody() {
    let (watches, woken, _) = watches(10);
    let armed = watches.watch(vec![row("a")]).unwrap();
    let not_yet = watches.watch(vec![row("b")]).unwrap();
    let nothing = watches.watch(Vec::new()).unwrap();
    assert!(!armed.arm(ticket(1)) && !nothing.arm(ticket(2)));
    watches.changed(&Changes::All);
    assert_eq!(woken.take(), [1, 2]);
    assert!(not_yet.arm(ticket(3)));
}

#[test]
fn there_is_a_bound_and_who_leaves_makes_room() {
    let (watches, woken, metrics) = watches(2);
    let first = watches.watch(vec![row("a")]).unwrap();
    let _second = watches.watch(vec![row("a")]).unwrap();
    assert_eq!(watches.watch(vec![row("a")]).unwrap_err(), Full);
    assert!(!first.arm(ticket(1)));
    drop(first);
    assert_eq!((watches.len(), metrics.watches.get(), metrics.watches_refused.get()), (1, 1, 1));
    let third = watches.watch(vec![row("a")]).unwrap();
    assert!(!third.arm(ticket(3)));
    change(&watches, &["a"]);
    assert_eq!(woken.take(), [3], "who has left is not told");
}

#[test]
fn nothing_is_left_of_watches_that_are_gone() {
    let (watches, _, metrics) = watches(10);
    drop(watches.watch(vec![row("a"), rows("a"), rows("a")]).unwrap());
    let registry = watches.0.registry.lock();
    assert!(registry.waiters.is_empty() && registry.topics.is_empty());
    drop(registry);
    assert!(watches.is_empty());
    assert_eq!(metrics.watches.get(), 0);
}

/// The state is one number; a watcher that has seen less than the end must be woken before it could
/// wait for ever.
#[test]
fn no_change_is_missed_between_threads() {
    const CHANGES: u64 = 20_000;
    struct Channel(crossbeam_channel::Sender<()>);
    impl Wake for Channel {
        fn wake(&self, _: Vec<Ticket>) {
            self.0.send(()).ok();
        }
    }
    let (wake, woken) = crossbeam_channel::unbounded();
    let watches = Watches::new(Channel(wake), 10, Arc::default());
    let state = Arc::new(AtomicU64::new(0));
    let applier = {
        let (watches, state) = (watches.clone(), Arc::clone(&state));
        std::thread::spawn(move || {
            for value in 1..=CHANGES {
                state.store(value, Ordering::Release);
                change(&watches, &["a"]);
            }
        })
    };
    let mut seen = 0;
    while seen < CHANGES {
        let watch = watches.watch(vec![row("a")]).unwrap();
        loop {
            let now = state.load(Ordering::Acquire);
            if now > seen {
                seen = now;
                break;
            }
            if !watch.arm(ticket(1)) {
                woken.recv().unwrap();
            }
            watch.reset();
        }
        while woken.try_recv().is_ok() {}
    }
    applier.join().unwrap();
}
