use super::*;
use postern_queue_file::writer::Writer;
use proptest::prelude::*;
use std::io::Cursor;

/// A queue file; `N` records stand in the content, what follows `X` in the extracted segment.
fn file(mixed: bool, records: &[(u8, &str)]) -> Vec<u8> {
    let mut writer = Writer::new(Cursor::new(Vec::new()));
    let empty = SizeRecord::default().to_string();
    writer.put(RecordType::SIZE, empty.as_bytes()).unwrap();
    let mut size = SizeRecord {
        flags: i64::from(mixed),
        ..SizeRecord::default()
    };
    for (kind, data) in records {
        let offset = writer.put(RecordType(*kind), data.as_bytes()).unwrap();
        match kind {
            b'M' => size.data_offset = i64::try_from(writer.offset()).unwrap(),
            b'X' => size.data_size = i64::try_from(offset).unwrap() - size.data_offset,
            b'R' | b'D' | b'/' => size.recipient_count += 1,
            _ => {}
        }
    }
    size.content_length = size.data_size;
    writer.rewrite_size(&size).unwrap();
    writer.finish().unwrap().into_inner()
}

const HEAD: [(u8, &str); 4] = [
    (b'T', "1795353074 636396"),
    (b'A', "create_time=1795353070"),
    (b'A', "rewrite_context=remote"),
    (b'S', "a@b.example"),
];
const TAIL: [(u8, &str); 3] = [(b'M', ""), (b'N', "Subject: hi"), (b'X', "")];

fn read(bytes: &[u8], limit: usize) -> Result<(Envelope, Batch), ReadError> {
    read_message(Cursor::new(bytes), "ID", limit, |_| {})
}

fn names(batch: &Batch) -> Vec<String> {
    batch
        .recipients
        .iter()
        .map(|r| r.recipient.to_string())
        .collect()
}

#[test]
fn a_message_is_read_with_its_recipients() {
    let envelope = [
        (b'A', "dsn_orig_rcpt=rfc822;done"),
        (b'O', "done"),
        (b'D', "done@x"),
        (b'A', "notify_flags=6"),
        (b'A', "dsn_orig_rcpt=rfc822;Bob"),
        (b'O', "Bob"),
        (b'R', "bob@x"),
        (b'R', "carol@x"),
    ];
    let more = [
        (b'L', "smtp:filter"),
        (b'A', "encoding=8bit"),
        (b'R', "dave@x"),
        (b'E', ""),
    ];
    let bytes = file(false, &[&HEAD[..], &envelope, &TAIL, &more].concat());
    let mut logged = None;
    let started = |e: &Envelope| logged = Some((e.sender.clone(), e.size.recipient_count));
    let (envelope, batch) = read_message(Cursor::new(&bytes), "ID", 100, started).unwrap();
    assert_eq!(logged, Some(("a@b.example".into(), 4)));
    assert_eq!(envelope.created, 1_795_353_070);
    assert_eq!(envelope.filter, Some("smtp:filter".into()));
    assert_eq!(envelope.encoding, "8bit");
    assert_eq!(envelope.rewrite_context, "remote");
    assert_eq!(names(&batch), ["bob@x", "carol@x", "dave@x"]);
    let bob = &batch.recipients[0];
    assert_eq!(
        (bob.notify_flags, bob.original_recipient.as_bstr()),
        (6, "Bob".into())
    );
    assert_eq!(bob.dsn_orig_rcpt, "rfc822;Bob");
    assert_eq!(batch.recipients[1].original_recipient, "carol@x");
    assert_eq!(bytes[usize::try_from(bob.offset).unwrap()], b'R');
    assert_eq!(batch.progress, Progress::default());
}

#[test]
fn recipients_come_in_batches_of_all_segments() {
    for mixed in [false, true] {
        let some = [(b'R', "1"), (b'R', "2"), (b'R', "3")];
        let more = [(b'L', "filter:"), (b'R', "4"), (b'R', "5"), (b'E', "")];
        let bytes = file(mixed, &[&HEAD[..], &some, &TAIL, &more].concat());
        let (envelope, batch) = read(&bytes, 2).unwrap();
        assert_eq!(names(&batch), ["1", "2"], "mixed {mixed}");
        assert_eq!(envelope.filter, Some("filter:".into()));
        assert_eq!(batch.progress.unread, 3);
        let again =
            |progress| read_more(Cursor::new(&bytes), "ID", &envelope, progress, 2).unwrap();
        let batch = again(batch.progress);
        assert_eq!(names(&batch), ["3", "4"]);
        let batch = again(batch.progress);
        assert_eq!(names(&batch), ["5"]);
        assert_eq!(batch.progress, Progress::default());
    }
}

#[test]
fn a_recipient_that_a_milter_added_does_not_confuse_the_batches() {
    let pointer = postern_queue_file::writer::pointer_payload;
    let some = [(b'R', "1"), (b'p', &*pointer(0))];
    let bytes = file(
        false,
        &[&HEAD[..], &some, &TAIL, &[(b'R', "3"), (b'E', "")]].concat(),
    );
    let mut writer = Writer::new(Cursor::new(Vec::new()));
    let mut back = 0;
    let mut dummy = 0;
    let mut reader = Reader::with_options(Cursor::new(&bytes), ReadOptions::RAW);
    while let Some(record) = reader.next_record().unwrap() {
        if record.kind == RecordType::POINTER {
            dummy = record.offset;
            back = reader.offset();
        }
        writer.put(record.kind, &record.data).unwrap();
    }
    let heap = writer.put(RecordType::RECIPIENT, b"2").unwrap();
    writer.put_pointer(back).unwrap();
    writer.rewrite_pointer(dummy, heap).unwrap();
    let bytes = writer.finish().unwrap().into_inner();
    let (envelope, mut batch) = read(&bytes, 1).unwrap();
    let mut seen = names(&batch);
    while batch.progress.offset != 0 {
        batch = read_more(Cursor::new(&bytes), "ID", &envelope, batch.progress, 1).unwrap();
        seen.extend(names(&batch));
    }
    assert_eq!(seen, ["1", "2", "3"]);
}

#[test]
fn damaged_files_are_corrupt() {
    let good: Vec<(u8, &str)> = [&HEAD[..], &[(b'R', "x")], &TAIL, &[(b'E', "")]].concat();
    assert!(read(&file(false, &good), 10).is_ok());
    let without = |kind: u8| -> Vec<(u8, &str)> {
        good.iter()
            .copied()
            .filter(|(other, _)| *other != kind)
            .collect()
    };
    for kind in [b'T', b'S', b'M', b'X', b'E'] {
        let bytes = file(false, &without(kind));
        let error = read(&bytes, 10).unwrap_err();
        assert!(
            matches!(error, ReadError::Corrupt(_)),
            "without {}",
            char::from(kind)
        );
    }
    for bad in [(b'A', "x"), (b'?', ""), (b'N', "text"), (b'T', "x")] {
        let bytes = file(false, &[&[bad], &good[..]].concat());
        assert!(
            matches!(read(&bytes, 10), Err(ReadError::Corrupt(_))),
            "{bad:?}"
        );
    }
    assert!(matches!(read(b"", 10), Err(ReadError::Corrupt(_))));
}

#[test]
fn special_records_are_understood() {
    let special = [
        (b'V', "+="),
        (b'A', "trace_flags=1024"),
        (b'W', "     1795367474"),
        (b'>', "else@x"),
        (b'A', "client_name=host.example"),
        (b'A', "client_address=192.0.2.1"),
        (b'A', "ret_flags=2"),
        (b'A', "envelope_id=QQ1"),
        (b'K', "trace_flags=512"),
    ];
    let bytes = file(
        true,
        &[&HEAD[..], &special, &[(b'R', "x")], &TAIL, &[(b'E', "")]].concat(),
    );
    let (envelope, _) = read(&bytes, 10).unwrap();
    assert_eq!(envelope.verp_delimiters, Some("+=".into()));
    assert_eq!(envelope.trace_flags, 1024);
    assert_eq!(bytes[usize::try_from(envelope.trace_offset).unwrap()], b'A');
    assert_eq!(bytes[usize::try_from(envelope.warn_offset).unwrap()], b'W');
    assert_eq!(envelope.warn_time, 1_795_367_474);
    assert_eq!(envelope.redirect, Some("else@x".into()));
    assert_eq!(envelope.log_client_name, "host.example");
    assert_eq!(envelope.log_client_address, "192.0.2.1");
    assert_eq!(
        (envelope.ret_flags, envelope.envelope_id.as_bstr()),
        (2, "QQ1".into())
    );
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
        let _ = read(&bytes, 10);
    }

    #[test]
    fn any_damage_is_read_or_refused(at in 0usize..400, byte: u8, cut in 0usize..400) {
        let records = [(b'A', "notify_flags=6"), (b'O', "o"), (b'R', "x"), (b'R', "y")];
        let mut bytes = file(false, &[&HEAD[..], &records, &TAIL, &[(b'E', "")]].concat());
        if let Some(place) = bytes.get_mut(at) { *place = byte; }
        bytes.truncate(bytes.len().saturating_sub(cut.saturating_sub(200)));
        if let Ok((envelope, batch)) = read(&bytes, 1) {
            let _ = read_more(Cursor::new(&bytes), "ID", &envelope, batch.progress, 1);
        }
    }
}
