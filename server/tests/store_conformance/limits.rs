//! What is refused, and with which words.

use bytes::Bytes;
use pinion_server::store::{
    Condition, Error, KEY_BYTES_MAX, Key, Operation, PAGE_MAX, TXN_BYTES_MAX, TXN_ITEMS_MAX,
    Transaction, VALUE_BYTES_MAX,
};

use crate::fixtures::Fixture;
use crate::shorthand::{conflicts, delete, done, get, key, put, transaction, value};

pub(crate) async fn the_largest_of_everything_is_accepted(fixture: &mut impl Fixture) {
    let store = &*fixture.store();
    let long_key = "k".repeat(KEY_BYTES_MAX);
    let long_value = Bytes::from(vec![0xff; VALUE_BYTES_MAX]);
    done(store, [], [put(&long_key, long_value.clone())]).await;
    assert_eq!(value(store, &long_key).await.unwrap(), long_value);

    let absent: Vec<_> = (0..TXN_ITEMS_MAX)
        .map(|n| Condition::Absent(key(&format!("t/{n}"))))
        .collect();
    let puts: Vec<_> = (0..TXN_ITEMS_MAX)
        .map(|n| put(&format!("t/{n}"), ""))
        .collect();
    done(store, absent.clone(), puts.clone()).await;
    conflicts(store, absent, puts).await;

    done(store, [], full_transaction(TXN_BYTES_MAX)).await;
    assert_eq!(
        store.page("", None, PAGE_MAX).await.unwrap().entries.len(),
        145
    );
    get(store, "printable/!\"#$%&'()*+,-.:;<=>?@[]^_`{|}~").await;
}

pub(crate) async fn each_limit_is_refused_by_name(fixture: &mut impl Fixture) {
    let store = &*fixture.store();
    let many_puts: Vec<_> = (0..=TXN_ITEMS_MAX)
        .map(|n| put(&format!("t/{n}"), ""))
        .collect();
    let many_conditions = vec![Condition::Absent(key("t/a")); TXN_ITEMS_MAX + 1];
    let long_key = "k".repeat(KEY_BYTES_MAX + 1);
    let one = || [put("t/a", "")];
    let cases: Vec<(Transaction, &str)> = vec![
        (
            transaction([], []),
            "the transaction has no operations: give it at least one",
        ),
        (
            transaction([Condition::Absent(key("t/a"))], []),
            "the transaction has no operations: give it at least one",
        ),
        (
            transaction([], many_puts),
            "the transaction has 111 operations, at most 110 are allowed: split it",
        ),
        (
            transaction(many_conditions, one()),
            "the transaction has 111 conditions, at most 110 are allowed: split it",
        ),
        (
            transaction([], [put("t/a", vec![0; VALUE_BYTES_MAX + 1])]),
            "the value of `t/a` has 16385 bytes, at most 16384 are allowed: split it over several keys",
        ),
        (
            transaction([], full_transaction(TXN_BYTES_MAX + 1)),
            "the transaction's keys and values have 524289 bytes, at most 524288 are allowed: split it",
        ),
        (
            transaction([], [put("t/a", "1"), delete("t/b"), delete("t/a")]),
            "the key `t/a` has two operations in one transaction: keep one",
        ),
        (
            transaction([], [put(&long_key, "")]),
            "has 1025 bytes, at most 1024 are allowed: shorten it",
        ),
        (
            transaction([Condition::Absent(key(&long_key))], one()),
            "has 1025 bytes",
        ),
    ];
    for (transaction, message) in cases {
        assert_refused(store.commit(transaction).await, message);
    }
    for (bad, message) in BAD_KEYS {
        assert_refused(store.commit(transaction([], [put(bad, "")])).await, message);
        assert_refused(store.commit(transaction([], [delete(bad)])).await, message);
        assert_refused(
            store
                .commit(transaction([Condition::Created(key(bad), 1)], one()))
                .await,
            message,
        );
        assert_refused(store.get(&key(bad)).await, message);
    }
    assert_refused(
        store.page("t/", None, 0).await,
        "a page of 0 entries was asked for, 1 to 1000 are allowed",
    );
    assert_refused(
        store.page("t/", None, PAGE_MAX + 1).await,
        "a page of 1001 entries was asked for",
    );
    assert_refused(
        store.page("t /", None, 1).await,
        "the prefix `t /` has a character other than",
    );
    assert_refused(
        store.watch(&long_key, 0).await.map(|_| ()),
        "has 1025 bytes",
    );
    assert_refused(
        store.lead("", std::time::Duration::from_secs(1)).await,
        "the key `lead/` has an empty segment",
    );
}

pub(crate) async fn a_refused_transaction_leaves_nothing(fixture: &mut impl Fixture) {
    let store = &*fixture.store();
    let before = store.page("", None, 100).await.unwrap();
    let mixed = transaction(
        [],
        [
            put("t/good", "1"),
            put("t/bad", vec![0; VALUE_BYTES_MAX + 1]),
        ],
    );
    store.commit(mixed).await.unwrap_err();
    assert_eq!(store.page("", None, 100).await.unwrap(), before);
}

pub(crate) async fn keys_of_the_engine_cannot_be_written(fixture: &mut impl Fixture) {
    let store = &*fixture.store();
    for own in ["meta/format", "meta/id", "lead/promote"] {
        let message = format!("the key `{own}` is written by the store itself: choose another");
        assert_refused(
            store.commit(transaction([], [put(own, "x")])).await,
            &message,
        );
        assert_refused(store.commit(transaction([], [delete(own)])).await, &message);
    }
    let id = get(store, "meta/id").await.unwrap();
    done(
        store,
        [Condition::Modified(id.key, id.modified)],
        [put("meta/other", "x")],
    )
    .await;
}

const BAD_KEYS: [(&str, &str); 8] = [
    ("", "a key is empty: name what is stored"),
    (
        "/a",
        "the key `/a` has an empty segment: put something before, between and after each `/`",
    ),
    ("a/", "the key `a/` has an empty segment"),
    ("a//b", "the key `a//b` has an empty segment"),
    (
        "a b",
        "the key `a b` has a character other than printable ASCII, or a space: escape it",
    ),
    (
        "a\n",
        "the key `a\\n` has a character other than printable ASCII",
    ),
    (
        "a\0",
        "the key `a\\u{0}` has a character other than printable ASCII",
    ),
    (
        "\u{e4}",
        "the key `\\u{e4}` has a character other than printable ASCII",
    ),
];

/// Puts of exactly so many bytes of keys and values.
fn full_transaction(bytes: usize) -> Vec<Operation> {
    let mut left = bytes;
    let mut operations = Vec::new();
    while left > 0 {
        let key = Key::new(format!("full/{:04}", operations.len()));
        left -= key.as_str().len();
        let value = vec![b'v'; left.min(VALUE_BYTES_MAX)];
        left -= value.len();
        operations.push(Operation::Put(key, value.into()));
    }
    operations
}

fn assert_refused<T: std::fmt::Debug>(answer: Result<T, Error>, message: &str) {
    match answer {
        Err(Error::Invalid(text)) if text.contains(message) => {}
        other => panic!("expected the refusal {message:?}, got {other:?}"),
    }
}
