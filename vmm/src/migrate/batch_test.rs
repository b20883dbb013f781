use proptest::prelude::*;

use super::*;

/// Fills a batch with pages from number 100 on, each filled with its byte.
fn filled(fills: &[u8]) -> (Batch, Vec<(u64, Mark)>) {
    let mut batch = Batch::new();
    let mut seen = Vec::new();
    let read = |bytes: &mut [u8]| {
        for (page, fill) in bytes.chunks_mut(PAGE_BYTES).zip(fills) {
            page.fill(*fill);
        }
        Ok::<_, ()>(())
    };
    let note = |page, mark| seen.push((page, mark));
    batch.take(100, fills.len(), read, note).unwrap();
    (batch, seen)
}

fn decode(head: &[u8], data: usize) -> Result<Table, BadBatch> {
    let (counts, table) = head.split_first_chunk().ok_or(BadBatch::Counts)?;
    let counts = Counts::parse(*counts, head.len() + data)?;
    counts.table(table)
}

#[test]
fn zeros_travel_without_data() {
    let (batch, _) = filled(&[0; 200]);
    let mut head = Vec::new();
    let data = batch.encode(&mut head);
    assert_eq!((head.len(), data.len()), (8 + 16, 0));
    assert_eq!(batch.counts(), (200, 200));
}

#[test]
fn a_full_batch_has_no_room_and_an_emptied_one_has() {
    let (mut batch, _) = filled(&[7; DATA_PAGES_MAX]);
    assert_eq!(batch.room(), 0);
    batch.clear();
    assert_eq!(batch.room(), DATA_PAGES_MAX);
}

#[test]
fn alternating_pages_fill_the_runs_and_no_more() {
    let mut batch = Batch::new();
    let mut page = 0;
    while batch.room() > 0 {
        let read = |bytes: &mut [u8]| {
            bytes.fill(u8::from(page % 2 == 0));
            Ok::<_, ()>(())
        };
        batch.take(page, 1, read, |_, _| ()).unwrap();
        page += 1;
    }
    let mut head = Vec::new();
    let data = batch.encode(&mut head).len();
    assert!(head.len() + data <= BODY_BYTES_MAX);
    assert!(decode(&head, data).is_ok());
}

#[test]
fn impossible_tables_are_refused() {
    let (batch, _) = filled(&[1, 0, 2]);
    let mut head = Vec::new();
    let data = batch.encode(&mut head).len();
    let wrong = |at: usize, value: u32| {
        let mut head = head.clone();
        head[at..at + 4].copy_from_slice(&value.to_le_bytes());
        decode(&head, data).unwrap_err()
    };
    assert_eq!(wrong(0, u32::MAX), BadBatch::Counts);
    assert_eq!(wrong(4, 1), BadBatch::Counts);
    assert_eq!(wrong(16, 0), BadBatch::Run);
    assert_eq!(wrong(16, u32::MAX), BadBatch::Run);
    assert_eq!(wrong(20, 2), BadBatch::Run);
    assert_eq!(wrong(20, 0), BadBatch::Run);
    assert_eq!(decode(&head, data + 1).unwrap_err(), BadBatch::Counts);
}

proptest! {
    #[test]
    fn a_batch_comes_back(fills in prop::collection::vec(0u8..3, 1..DATA_PAGES_MAX)) {
        let (batch, seen) = filled(&fills);
        let mut head = Vec::new();
        let data = batch.encode(&mut head);
        let table = decode(&head, data.len()).unwrap();
        let mut data = data.chunks(PAGE_BYTES);
        let mut marks = table.marks.iter();
        let mut found = Vec::new();
        for (run, content) in table.runs {
            for page in run.first_page..run.first_page + run.pages {
                match content {
                    Content::Zeros => found.push((page, 0, 0)),
                    Content::Data => {
                        let bytes = data.next().unwrap();
                        prop_assert_eq!(*marks.next().unwrap(), digest::mark(bytes));
                        found.push((page, bytes[0], digest::mark(bytes)));
                    }
                }
            }
        }
        let expected: Vec<_> = fills.iter().zip(seen)
            .map(|(fill, (page, mark))| (page, *fill, mark)).collect();
        prop_assert_eq!(found, expected);
        prop_assert!(data.next().is_none());
    }

    #[test]
    fn arbitrary_tables_are_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = decode(&bytes, 0);
    }
}
