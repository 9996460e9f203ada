//! Queue files, read along their pointers and in file order.
#![no_main]

use std::io::Cursor;

use bstr::BStr;
use libfuzzer_sys::fuzz_target;
use postern_queue_file::record::encode;
use postern_queue_file::{
    Attribute, QueueId, ReadOptions, Reader, Record, RecordError, SizeRecord,
};

/// Reads to the end or to the first fault; jumps are bounded by the reader itself.
fn read_all(bytes: &[u8], options: ReadOptions) {
    let mut reader = Reader::with_options(Cursor::new(bytes), options);
    while let Ok(Some(record)) = reader.next_record() {
        look(&record);
        assert!(reader.offset() <= bytes.len() as u64 || options.follow_pointers);
    }
}

fn look(record: &Record) {
    if let Ok(attribute) = Attribute::parse(&record.data) {
        let _ = attribute.pseudo_type();
    }
    let _ = SizeRecord::parse(&record.data);
    let _ = QueueId::parse(&record.data);
    let mut encoded = Vec::new();
    encode(&mut encoded, record.kind, &record.data);
    let again = Reader::with_options(Cursor::new(&encoded), ReadOptions::RAW).next_record();
    match again {
        Ok(Some(again)) => assert_eq!((again.kind, &again.data), (record.kind, &record.data)),
        other => panic!("{record:?} reads back as {other:?}"),
    }
}

fuzz_target!(|bytes: &[u8]| {
    read_all(bytes, ReadOptions::default());
    read_all(bytes, ReadOptions::RAW);
    read_all(
        bytes,
        ReadOptions {
            seek_to_end: true,
            ..ReadOptions::default()
        },
    );
    let _: Result<_, RecordError> = Reader::new(Cursor::new(bytes)).follow(BStr::new(bytes));
});
