//! What an act and a page cost, however much there is: so many rows looked at, and so many written.

use super::*;
use crate::state::tests::counting::Counting;

/// A board with much on it.
struct Fixture {
    state: State<Counting>,
    at: At,
    posts: Vec<String>,
}

const ANN: LoginId = [1; 32];
const BOB: LoginId = [2; 32];

impl Fixture {
    fn new() -> Self {
        let mut state = State::new(Counting::default(), Id128([7; 16]));
        let at = At { index: 1, term: 1, clock_ms: 1, wall_ms: WALL_MS };
        let register = Command::RegisterSession { node: 1, nonce: 1 }.encode();
        state.apply_command(at, WriteId { session: 0, seq: 0, floor: 0 }, &register).unwrap();
        let mut fixture = Self { state, at, posts: Vec::new() };
        for (name, login) in [("Ann", ANN), ("bob", BOB)] {
            fixture.act(Act::SignUp {
                name: name.into(),
                password: password(name),
                login,
                replaces: None,
            });
        }
        fixture.act(Act::Appoint { by: None, name: "Ann".into(), moderator: true });
        for number in 0..500 {
            fixture.at.clock_ms += 300_000;
            fixture.at.wall_ms += 12 * HOUR_MS;
            let Told::Posted(key) = fixture.act(post_of(ANN, &number.to_string())) else {
                panic!("it is posted")
            };
            fixture.act(Act::Like { login: BOB, post: key.clone(), on: number % 3 == 0 });
            fixture.posts.push(key);
        }
        fixture
    }

    fn act(&mut self, act: Act) -> Told {
        self.at.index += 1;
        let (seq, floor) = (self.at.index, self.at.index);
        let write = WriteId { session: 1, seq, floor };
        let command = Command::Board(act).encode();
        match self.state.apply_command(self.at, write, &command).unwrap() {
            Reply::Board(Told::Refused(refusal)) => panic!("{refusal:?}"),
            Reply::Board(told) => told,
            reply => panic!("{reply:?}"),
        }
    }

    /// Ends whatever is due; tells how many things that were.
    fn expire_all(&mut self) -> u64 {
        let mut ended = 0;
        while self.state.next_expiry().is_some_and(|next_ms| next_ms <= self.at.clock_ms) {
            self.at.index += 1;
            let nobody = WriteId { session: 0, seq: 0, floor: 0 };
            let said = self.state.apply_command(self.at, nobody, &Command::Expire.encode());
            let Ok(Reply::Expired { count }) = said else { panic!("{said:?}") };
            ended += count;
        }
        ended
    }

    fn counts(&self) -> [u64; 3] {
        let table = self.state.table();
        [table.gets.get(), table.seen.get(), table.writes]
    }

    /// Rows looked for, seen by scans and written by an act.
    fn cost(&mut self, act: Act) -> [u64; 3] {
        let before = self.counts();
        self.act(act);
        let after = self.counts();
        [0, 1, 2].map(|what| after[what] - before[what])
    }

    /// Rows looked for and seen by scans for a page.
    fn page(&self, list: &List, after: Option<&Cursor>) -> (Page, u64, u64) {
        let before = self.counts();
        let now_ms = self.state.meta().board.wall_ms.max(self.at.wall_ms);
        let page = page(self.state.table(), list, after, now_ms, 30).unwrap();
        let after = self.counts();
        (page, after[0] - before[0], after[1] - before[1])
    }
}

#[test]
fn an_act_touches_a_few_rows_however_much_there_is() {
    let mut fixture = Fixture::new();
    let key = fixture.posts[0].clone();
    let like = |on| Act::Like { login: BOB, post: key.clone(), on };
    // The like; its post, twice in each direction of three lists, its author, the limit with its deadline.
    let [gets, seen, writes] = fixture.cost(like(false));
    assert!(gets <= 12 && seen == 0 && writes <= 12, "{gets} {seen} {writes}");
    let [gets, seen, writes] = fixture.cost(like(false));
    assert!(gets <= 6 && seen == 0 && writes == 0, "{gets} {seen} {writes}");
    fixture.at.clock_ms += 300_000;
    let [gets, seen, writes] = fixture.cost(post_of(ANN, "one more"));
    assert!(gets <= 12 && seen == 0 && writes <= 13, "{gets} {seen} {writes}");
    let say = Act::Comment { login: BOB, post: key.clone(), parent: None, text: "x".into() };
    let [gets, seen, writes] = fixture.cost(say);
    assert!(gets <= 12 && seen == 0 && writes <= 8, "{gets} {seen} {writes}");
    let hide = Act::Hide { login: ANN, post: key.clone(), hidden: true, reason: String::new() };
    let [gets, seen, writes] = fixture.cost(hide);
    assert!(gets <= 12 && seen == 0 && writes <= 12, "{gets} {seen} {writes}");
    let what = Attempt::LogIn("ann".into());
    let [gets, seen, writes] = fixture.cost(Act::Attempt { what, address: b"1234"[..].into() });
    assert!(gets <= 9 && seen == 0 && writes <= 9, "{gets} {seen} {writes}");
}

#[test]
fn a_page_reads_what_it_shows() {
    let fixture = Fixture::new();
    let ann = user_named(fixture.state.table(), "ann").unwrap().unwrap().id;
    let lists = [List::Hot, List::Newest, List::Of(ann), List::Host("example.com".into())];
    for list in &lists {
        let mut after = None;
        loop {
            let (page, gets, seen) = fixture.page(list, after.as_ref());
            // Each post, and their one author.
            assert!(gets == page.lines.len() as u64 + 1, "{list:?}: {gets}");
            assert!(seen <= 31, "{list:?}: {seen}");
            after = page.next;
            if after.is_none() {
                break;
            }
        }
    }
    for (span, times) in [(Span::Day, 2), (Span::Week, 8), (Span::Year, 14)] {
        let (page, gets, seen) = fixture.page(&List::Top(span), None);
        assert!(gets <= page.lines.len() as u64 + 1, "{span:?}: {gets}");
        // Of each day or month whether it is there, and one more post than fits.
        assert!(seen <= times * (1 + 31), "{span:?}: {seen}");
        assert!(!page.lines.is_empty());
    }
}

/// All limits end at whole minutes, so that a crowd's end at the same time.
#[test]
fn what_ends_at_one_time_is_stepped_over_once() {
    let mut fixture = Fixture::new();
    fixture.expire_all();
    for number in 0..3_000u32 {
        let what = Attempt::LogIn(number.to_string());
        let address = number.to_be_bytes().to_vec().into();
        fixture.act(Act::Attempt { what, address });
    }
    fixture.at.clock_ms += 2 * MINUTE_MS;
    let table = fixture.state.table();
    let before = (table.seen.get(), table.stepped.get());
    assert_eq!(fixture.expire_all(), 9_000);
    let table = fixture.state.table();
    let (seen, stepped) = (table.seen.get() - before.0, table.stepped.get() - before.1);
    assert!(seen < 9_200 && stepped < 30_000, "{seen} {stepped}");
}
