//! Operations and sessions at random, few enough names for them to meet.

use proptest::prelude::*;

use super::*;

fn a_key() -> impl Strategy<Value = Bytes> {
    prop::sample::select(vec!["a", "a/b", "a/b/c", "a0", "b", "\u{ff}"]).prop_map(bytes)
}

pub(in crate::state) fn a_session() -> impl Strategy<Value = SessionId> {
    prop::sample::select(vec![A, B, Id128([0xc; 16])])
}

fn a_condition() -> impl Strategy<Value = When> {
    prop_oneof![
        4 => Just(When::Always),
        1 => Just(When::Absent),
        1 => Just(When::Present),
        1 => (0u64..30).prop_map(When::At),
    ]
}

pub(in crate::state) fn an_op() -> impl Strategy<Value = Op> {
    let value = || prop::sample::select(vec!["", "x", "y"]).prop_map(bytes);
    let ttl = || prop::option::weighted(0.3, 1u64..200);
    let prefix = || prop::sample::select(vec!["", "a", "a/", "c"]).prop_map(bytes);
    prop_oneof![
        6 => (a_key(), value(), 0u64..2, ttl(), a_condition()).prop_map(
            |(key, value, flags, ttl_ms, when)| Op::Set { key, value, flags, ttl_ms, when }
        ),
        6 => (a_key(), value(), 0u64..2, a_session())
            .prop_map(|(key, value, flags, session)| Op::Lock { key, value, flags, session }),
        2 => (a_key(), value(), 0u64..2, a_session())
            .prop_map(|(key, value, flags, session)| Op::Unlock { key, value, flags, session }),
        3 => (a_key(), a_condition()).prop_map(|(key, when)| Op::Delete { key, when }),
        1 => prefix().prop_map(|prefix| Op::DeleteTree { prefix }),
        1 => (a_key(), any::<bool>()).prop_map(|(key, or_empty)| Op::Get { key, or_empty }),
        1 => prefix().prop_map(|prefix| Op::GetTree { prefix }),
        1 => (a_key(), 0u64..30).prop_map(|(key, index)| Op::CheckIndex { key, index }),
        1 => (a_key(), a_session()).prop_map(|(key, session)| Op::CheckSession { key, session }),
        1 => a_key().prop_map(|key| Op::CheckNotExists { key }),
    ]
}

pub(in crate::state) fn a_new_session() -> impl Strategy<Value = NewSession> {
    let delay = prop::sample::select(vec![0, 50]);
    let behavior = prop::sample::select(vec![Behavior::Release, Behavior::Delete]);
    (a_session(), prop::option::of(1u64..300), delay, behavior).prop_map(
        |(id, ttl_ms, lock_delay_ms, behavior)| NewSession {
            ttl_ms,
            lock_delay_ms,
            behavior,
            ..plain(id)
        },
    )
}
