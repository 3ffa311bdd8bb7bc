//! Any history of a log against a plain list.

use proptest::prelude::*;

use super::*;

/// What happens to a log.
#[derive(Clone, Debug)]
enum Op {
    /// Entries are appended and synced: how many of the last are superseded, how many come, how large.
    Append { back: u64, count: u64, length: usize },
    /// So many of the entries are in a durable state, in percent; so much log is to stay.
    Purge { percent: u64, keep: u64 },
    /// An installed state takes the log's place, so far from its end.
    Restart { ahead: i64 },
    /// The process starts anew.
    Reopen,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (0..5_u64, 1..8_u64, 0..900_usize)
            .prop_map(|(back, count, length)| Op::Append { back, count, length }),
        2 => (0..=100_u64, 0..12_000_u64).prop_map(|(percent, keep)| Op::Purge { percent, keep }),
        1 => (-9..30_i64).prop_map(|ahead| Op::Restart { ahead }),
        2 => Just(Op::Reopen),
    ]
}

/// What the log must be.
#[derive(Clone, Debug, Default)]
struct Model {
    start: (Index, Term),
    entries: Vec<Entry>,
    term: Term,
    /// What was once purged was committed, and is never superseded.
    floor: Index,
}

impl Model {
    fn last(&self) -> Index {
        self.start.0 + self.entries.len() as Index
    }

    fn begin_behind(&mut self, start: (Index, Term)) {
        self.entries.retain(|entry| entry.index > start.0);
        self.start = start;
    }

    fn append(&mut self, back: u64, count: u64, length: usize) -> Vec<Entry> {
        let first = (self.last() + 1).saturating_sub(back).max(self.floor.max(self.start.0) + 1);
        self.term += u64::from(first <= self.last()) + count % 2;
        let entry = |index: Index| match index % 5 {
            0 => configuration(index, self.term),
            _ => command(index, self.term, length),
        };
        let batch: Vec<_> = (first..first + count).map(entry).collect();
        self.entries.retain(|entry| entry.index < first);
        self.entries.extend(batch.iter().cloned());
        batch
    }

    fn check(&self, reader: &mut WalReader, recovered: &Recovered) {
        let read =
            |reader: &mut WalReader, first| reader.read(first, Index::MAX, usize::MAX).unwrap();
        assert_eq!(read(reader, self.start.0 + 1), self.entries);
        assert!(read(reader, self.start.0).is_empty());
        assert_eq!((recovered.start, recovered.last_index), (self.start, self.last()));
        assert!(self.entries.ends_with(&recovered.tail));
        assert!((self.start.0..=self.last()).contains(&recovered.commit));
        let mut runs: Vec<(Index, Term)> = Vec::new();
        let mut configurations = Vec::new();
        for entry in &self.entries {
            if runs.last().is_none_or(|(_, term)| *term != entry.term) {
                runs.push((entry.index, entry.term));
            }
            if let Payload::Configuration(configuration) = &entry.payload {
                configurations.push((entry.index, configuration.clone()));
            }
        }
        assert_eq!((&recovered.term_runs, &recovered.configurations), (&runs, &configurations));
    }
}

fn run(ops: &[Op]) {
    let dir = TempDir::new().unwrap();
    let mut model = Model { term: 1, ..Model::default() };
    let (mut writer, mut reader, recovered) = open(dir.path()).unwrap();
    model.check(&mut reader, &recovered);
    for op in ops {
        match *op {
            Op::Append { back, count, length } => {
                let batch = model.append(back, count, length);
                writer.append(&batch, model.floor);
                writer.sync().unwrap();
            }
            Op::Purge { percent, keep } => {
                let durable = model.start.0 + percent * model.entries.len() as u64 / 100;
                model.floor = model.floor.max(durable);
                if let Some(start) = writer.purge(model.floor, keep).unwrap() {
                    assert!(start.0 <= model.floor && start.0 >= model.start.0);
                    let at = |entry: &&Entry| entry.index == start.0;
                    let term = model.entries.iter().find(at).map_or(model.start.1, |it| it.term);
                    assert_eq!(start.1, term);
                    assert!(writer.bytes() >= keep);
                    model.begin_behind(start);
                }
            }
            Op::Restart { ahead } => {
                let index = model.last().saturating_add_signed(ahead).max(model.floor).max(1);
                model.term += 1;
                model.entries.clear();
                model.start = (index, model.term);
                model.floor = index;
                writer.restart(model.start).unwrap();
            }
            Op::Reopen => {
                drop((writer, reader));
                let recovered;
                (writer, reader, recovered) = open(dir.path()).unwrap();
                model.check(&mut reader, &recovered);
            }
        }
        assert_eq!((writer.start(), writer.last_index()), (model.start, model.last()));
        // The power goes now.
        let copy = dir_of(&files(dir.path()));
        let survey = Wal::survey(copy.path(), &IDENTITY).unwrap();
        assert!(survey.damage.is_none(), "{:?}", survey.damage);
        let (_writer, mut found, recovered) = open(copy.path()).unwrap();
        model.check(&mut found, &recovered);
        assert_eq!((survey.start, survey.commit), (recovered.start, recovered.commit));
        assert_eq!(survey.last_term(), recovered.last_term());
        let first = model.start.0 + 1;
        assert_eq!(reader.read(first, Index::MAX, usize::MAX).unwrap(), model.entries);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(40) })]

    #[test]
    fn a_log_is_what_was_done_to_it(ops in prop::collection::vec(op(), 1..25)) {
        run(&ops);
    }
}
