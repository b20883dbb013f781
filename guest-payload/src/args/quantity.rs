//! Numbers with a unit, as the command line has them.

/// `12`, `0.5` or `2.125` seconds in milliseconds; at most a day.
pub(super) fn milliseconds(text: &str) -> Option<u32> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let whole: u32 = whole.parse().ok().filter(|s| *s <= 86_400)?;
    if fraction.is_empty() || fraction.len() > 3 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let digits: u32 = fraction.parse().ok()?;
    let scale = [100, 10, 1][fraction.len() - 1];
    Some(whole * 1000 + digits * scale)
}

/// `4096`, `64K`, `256M` or `1G` in bytes; less than 3 GiB, where the payload's memory ends.
pub(super) fn size(text: &str) -> Option<u64> {
    const END: u64 = 3 << 30;
    let (number, shift) = match text.as_bytes().last()? {
        b'K' | b'k' => (&text[..text.len() - 1], 10),
        b'M' | b'm' => (&text[..text.len() - 1], 20),
        b'G' | b'g' => (&text[..text.len() - 1], 30),
        _ => (text, 0),
    };
    let number: u64 = number.parse().ok()?;
    number.checked_mul(1 << shift).filter(|bytes| *bytes < END)
}
