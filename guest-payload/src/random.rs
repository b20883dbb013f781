//! Random numbers of one CPU.

/// xorshift64*: enough to spread CPUs over locks and think times, the same for the same seed.
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    /// The numbers of CPU `cpu` under `seed`.
    pub(crate) fn new(seed: u64, cpu: u32) -> Self {
        Self((seed ^ u64::from(cpu + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)) | 1)
    }

    /// A number below `limit`.
    pub(crate) fn below(&mut self, limit: u32) -> u32 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let high = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32;
        ((high * u64::from(limit)) >> 32) as u32
    }
}
