//! Facts about reading subunit; the packets are written here by the format's description.

use super::super::counts::Counts;
use super::super::reading::{ReportError, read_report_from};

/// A packet: flags, and its fields between length and checksum.
fn packet(flags: u16, fields: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0xb3];
    bytes.extend(flags.to_be_bytes());
    // Signature, flags, a length of two bytes, checksum.
    let length = u16::try_from(fields.len() + 9).expect("short") | 0x4000;
    bytes.extend(length.to_be_bytes());
    bytes.extend(fields);
    bytes.extend(crc32fast::hash(&bytes).to_be_bytes());
    bytes
}

fn text(text: &str) -> Vec<u8> {
    let length = u16::try_from(text.len()).expect("short") | 0x4000;
    [&length.to_be_bytes()[..], text.as_bytes()].concat()
}

/// A status of a test; 2 is "in progress", 3 success, 6 failed.
fn status(id: &str, status: u16) -> Vec<u8> {
    packet(0x2900 | status, &text(id))
}

fn read(stream: &[Vec<u8>]) -> Result<Counts, ReportError> {
    let bytes = stream.concat();
    read_report_from("r", bytes.as_slice()).map(|reading| reading.counts)
}

#[test]
fn the_last_status_of_a_test_counts() {
    let stream = [
        status("a", 1),
        status("b", 1),
        status("only listed", 1),
        status("a", 2),
        status("a", 3),
        status("b", 2),
        status("b", 6),
        status("skipped", 5),
        status("expected", 7),
        status("unexpected", 4),
    ];
    let counts = read(&stream).expect("whole");
    assert_eq!((counts.tests, counts.passed, counts.failed), (5, 1, 2));
    assert_eq!((counts.skipped, counts.expected_failures), (1, 1));
}

#[test]
fn a_test_that_failed_before_it_passed_is_flaky() {
    let stream = [
        status("a", 2),
        status("a", 6),
        status("a", 2),
        status("a", 3),
    ];
    let counts = read(&stream).expect("whole");
    assert_eq!(
        (counts.tests, counts.passed, counts.flaky, counts.failed),
        (1, 1, 1, 0)
    );
}

#[test]
fn every_field_is_passed_over_or_read() {
    let everything = [
        &[0, 0, 0, 1, 0xc0, 0, 0, 9][..],
        &text("a"),
        &[2],
        &text("tag"),
        &text("worker-0"),
        &text("text/plain"),
        &text("traceback"),
        &text("Traceback (most recent call last):\n  File \"a\", line 1\nKeyError: 'a'"),
        &text("0/1"),
    ]
    .concat();
    let counts = read(&[packet(0x2ff0 | 6, &everything)]).expect("whole");
    assert_eq!(
        (counts.tests, counts.failed, counts.fingerprints.len()),
        (1, 1, 1)
    );
}

#[test]
fn what_stands_between_packets_is_passed_over() {
    // U+00B3 ends in the byte that begins a packet.
    let stream = [
        b"make: 5 m\xc2\xb3 \n".to_vec(),
        status("a", 3),
        b"bye \xe2\x82\xb3".to_vec(),
    ];
    assert_eq!(read(&stream).expect("whole").passed, 1);
}

#[test]
fn damage_is_told_by_its_place() {
    let whole = status("a", 3);
    let mut wrong_sum = status("b", 3);
    *wrong_sum.last_mut().expect("not empty") ^= 1;
    let wrong_length = packet(0x2900 | 3, &[0x7f, 0xff, b'a']);
    let not_utf8 = packet(0x2900 | 3, &[1, 0xff]);
    let mut version_1 = status("b", 3);
    version_1[1] = 0x19;
    for (damaged, problem) in [
        (wrong_sum, "checksum is wrong"),
        (wrong_length, "longer than the packet"),
        (not_utf8, "no UTF-8"),
        (version_1, "version 1, not 2"),
    ] {
        let error = read(&[whole.clone(), damaged]).expect_err("damaged");
        let said = error.to_string();
        assert!(said.contains(problem), "{said}");
        assert!(said.contains(&format!("at byte {}", whole.len())), "{said}");
        let ReportError::Broken { until_there, .. } = error else {
            panic!("{said}");
        };
        assert_eq!((until_there.passed, until_there.is_truncated), (1, false));
    }
}

#[test]
fn a_stream_that_ends_early_is_truncated() {
    let cut = status("a", 3)[..6].to_vec();
    for (stream, errors) in [
        (vec![status("b", 3), cut], 0),
        (vec![status("b", 3), vec![0xb3]], 0),
        (vec![status("b", 3), status("a", 2)], 1),
    ] {
        match read(&stream) {
            Err(ReportError::Broken { until_there, .. }) => {
                assert!(until_there.is_truncated);
                assert_eq!((until_there.passed, until_there.errors), (1, errors));
            }
            other => panic!("{other:?}"),
        }
    }
}
