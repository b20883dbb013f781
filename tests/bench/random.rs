//! Bytes that neither compress nor repeat.

/// Fills `bytes` with xorshift64* of `seed` (Vigna, "An experimental exploration of Marsaglia's
/// xorshift generators, scrambled", 2016).
pub(crate) fn fill(bytes: &mut [u8], seed: u64) {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    for word in bytes.chunks_mut(8) {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        let value = state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes();
        word.copy_from_slice(&value[..word.len()]);
    }
}

/// `length` of them.
pub(crate) fn bytes(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    fill(&mut bytes, 1);
    bytes
}
