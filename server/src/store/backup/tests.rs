use std::io::BufReader;

use tempfile::TempDir;

use super::*;
use crate::store::Key;

fn entry(key: &str, value: &[u8], created: Revision, modified: Revision) -> Entry {
    Entry {
        key: Key::new(key),
        value: value.to_vec().into(),
        created,
        modified,
    }
}

fn entries() -> Vec<Entry> {
    vec![
        entry("j/1/2", b"\0\xff\x01", 7, 7),
        entry("ro/a", b"{\"state\":\"gating\"}", 3, 9),
        entry("set/a", b"", 1, 1),
    ]
}

fn written(entries: &[Entry]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new()).expect("memory");
    for entry in entries {
        writer.entry(entry).expect("memory");
    }
    writer.end(12).expect("memory")
}

fn checked(bytes: &[u8]) -> Result<(TempDir, Backup), Refused> {
    let dir = TempDir::new().expect("a folder");
    let path = dir.path().join("backup");
    std::fs::write(&path, bytes).expect("written");
    Backup::check(&path).map(|backup| (dir, backup))
}

#[test]
fn what_is_written_is_read_without_what_an_engine_keeps_for_itself() {
    let mut all = entries();
    all.push(entry("lead/promote", b"", 5, 5));
    all.push(entry("meta/id", b"x", 1, 1));
    all.sort_by(|a, b| a.key.cmp(&b.key));
    let (_dir, backup) = checked(&written(&all)).expect("whole");
    assert_eq!((backup.revision, backup.entries), (12, 3));
    let read: Result<Vec<_>, _> = backup.entries().expect("there").collect();
    assert_eq!(read.expect("whole"), entries());
}

#[test]
fn any_flipped_bit_and_any_cut_is_refused() {
    let whole = written(&entries());
    for byte in 0..whole.len() {
        let mut flipped = whole.clone();
        flipped[byte] ^= 1 << (byte % 8);
        checked(&flipped).expect_err("flipped");
        checked(&whole[..byte]).expect_err("cut");
    }
    let mut longer = whole.clone();
    longer.push(0);
    let error = checked(&longer).expect_err("longer").to_string();
    assert!(error.contains("something follows its end"), "{error}");
    let error = checked(&whole[..whole.len() - 1])
        .expect_err("cut")
        .to_string();
    assert!(error.contains("is cut off"), "{error}");
    let error = checked(b"SQLite format 3\0")
        .expect_err("foreign")
        .to_string();
    assert!(error.contains("is no backup of pinion's"), "{error}");
    let mut middle = whole;
    middle[60] ^= 1;
    let error = checked(&middle).expect_err("damaged").to_string();
    assert!(error.contains("after `j/1/2`"), "{error}");
}

#[test]
fn lines_are_the_same_backup() {
    let whole = written(&entries());
    let (_dir, backup) = checked(&whole).expect("whole");
    let mut text = Vec::new();
    lines::write(&backup, &mut text).expect("memory");
    let shown = String::from_utf8(text.clone()).expect("text");
    assert!(
        shown.starts_with(r#"{"key":"j/1/2","created":7,"modified":7,"value_base64":"AP8B"}"#),
        "{shown}"
    );
    assert!(
        shown.ends_with("{\"revision\":12,\"entries\":3}\n"),
        "{shown}"
    );
    assert_eq!(lines::read(&*text, Vec::new()).expect("whole"), whole);

    let cut = shown.rsplit_once("{\"revision\"").expect("an end").0;
    let error = lines::read(BufReader::new(cut.as_bytes()), Vec::new()).expect_err("cut");
    assert!(matches!(error, lines::InvalidLines::Cut));
    let fewer = shown.split_once('\n').expect("lines").1;
    let error = lines::read(fewer.as_bytes(), Vec::new()).expect_err("fewer");
    assert!(
        error.to_string().contains("3 entries were exported, 2"),
        "{error}"
    );
    let error = lines::read(&b"{}\n"[..], Vec::new()).expect_err("foreign");
    assert!(error.to_string().contains("line 1"), "{error}");
}
