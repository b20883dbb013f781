use super::*;

fn bytes(word: &QWord) -> [u8; 4] {
    // SAFETY: a word is four bytes that nobody writes meanwhile.
    unsafe { *std::ptr::from_ref(word).cast() }
}

#[test]
fn each_access_changes_its_part_and_no_other() {
    let word = QWord::new();
    assert!(word.try_lock());
    assert_eq!(bytes(&word), [1, 0, 0, 0]);
    assert!(!word.try_lock());
    assert_eq!(word.swap_tail(0x1234), 0);
    assert_eq!(word.swap_tail(0xfedc), 0x1234);
    assert_eq!(word.load().tail(), 0xfedc);
    word.claim();
    assert_eq!(bytes(&word), [1, 1, 0xdc, 0xfe]);
    assert!(!word.try_take_pending());
    word.release();
    assert_eq!(bytes(&word), [0, 1, 0xdc, 0xfe]);
    assert!(word.try_take_pending());
    assert_eq!(bytes(&word), [1, 0, 0xdc, 0xfe]);
    assert!(!word.try_steal());
    assert!(word.mark_slow());
    assert!(word.is_slow() && word.is_locked());
    assert!(!word.release_unless_slow());
    assert_eq!(bytes(&word), [3, 0, 0xdc, 0xfe]);
    word.release_slow();
    assert!(!word.mark_slow());
    word.unmark_slow();
    assert!(word.release_unless_slow());
    assert!(word.try_steal());
    word.set_slow();
    word.set_locked();
    let seen = word.load();
    assert!(word.take_as_last(seen));
    assert!(!word.take_as_last(seen));
    assert_eq!(bytes(&word), [1, 0, 0, 0]);
}

#[test]
fn the_pending_bit_is_set_once_and_turns_into_the_lock() {
    let word = QWord::new();
    assert!(word.try_lock());
    assert!(!word.set_pending().is_contended());
    assert!(word.set_pending().is_pending());
    assert!(!word.load().is_just_pending());
    word.release();
    assert!(word.load().is_just_pending());
    word.take_pending();
    assert_eq!(bytes(&word), [1, 0, 0, 0]);
    word.claim();
    word.clear_pending();
    assert_eq!(bytes(&word), [1, 0, 0, 0]);
}
