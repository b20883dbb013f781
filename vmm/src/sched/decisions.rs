//! What the scheduler decided, so that two runs can be compared.
//!
//! A decision is a choice between at least two vCPUs; who is the only one that can run is not
//! chosen.

/// Decisions that are kept, from the first.
pub const KEPT: usize = 1024;

/// One choice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Who waited, in ascending order of the index.
    pub eligible: Vec<u32>,
    /// Who got the token.
    pub pick: u32,
}

/// The decisions of a run.
#[derive(Clone, Debug, Default)]
pub struct Decisions {
    /// All, those that are not kept included.
    pub count: u64,
    /// The first ones.
    pub kept: Vec<Decision>,
    /// Of all that was drawn for those.
    draws: Digest,
}

/// FNV-1a, 64 bits.
#[derive(Clone, Copy, Debug)]
struct Digest(u64);

impl Default for Digest {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Digest {
    fn add(&mut self, value: u64) {
        for byte in value.to_le_bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

impl Decisions {
    /// Notes a decision for which `draws` were drawn.
    pub(super) fn note(&mut self, eligible: impl FnOnce() -> Vec<u32>, draws: &[u64], pick: usize) {
        self.count += 1;
        if self.kept.len() < KEPT {
            draws.iter().for_each(|&draw| self.draws.add(draw));
            self.kept.push(Decision {
                eligible: eligible(),
                pick: u32::try_from(pick).unwrap_or(u32::MAX),
            });
        }
    }

    /// Digest of what was drawn for the decisions kept: which order it put the vCPUs into. The same
    /// in two runs of one seed that decided as often, whoever was able to run.
    pub fn draws_digest(&self) -> u64 {
        self.draws.0
    }

    /// Digest of the decisions kept: who was able to run, and who was picked.
    pub fn picks_digest(&self) -> u64 {
        let mut digest = Digest::default();
        for decision in &self.kept {
            digest.add(u64::try_from(decision.eligible.len()).unwrap_or(u64::MAX));
            for &vcpu in &decision.eligible {
                digest.add(vcpu.into());
            }
            digest.add(decision.pick.into());
        }
        digest.0
    }
}
