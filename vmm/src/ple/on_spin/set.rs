//! A set of vCPUs that needs no allocation.

/// vCPUs that a set can hold: what KVM allows at most on x86 (`KVM_MAX_VCPUS`) in most builds.
const CAPACITY: usize = 1024;
const WORDS: usize = CAPACITY / 64;

/// vCPUs, by index. Those beyond its capacity of 1024 are never in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VcpuSet([u64; WORDS]);

impl VcpuSet {
    /// Nobody.
    pub const EMPTY: Self = Self([0; WORDS]);

    /// Adds one.
    pub fn insert(&mut self, vcpu: usize) {
        if let Some(word) = self.0.get_mut(vcpu / 64) {
            *word |= 1 << (vcpu % 64);
        }
    }

    /// Whether it is in the set.
    pub fn contains(&self, vcpu: usize) -> bool {
        self.0
            .get(vcpu / 64)
            .is_some_and(|word| word >> (vcpu % 64) & 1 != 0)
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = usize> {
        (0..).step_by(64).zip(self.0).flat_map(|(base, mut word)| {
            std::iter::from_fn(move || {
                let bit = word.trailing_zeros();
                word &= word.checked_sub(1)?;
                usize::try_from(bit).ok().map(|bit| base + bit)
            })
        })
    }
}

impl FromIterator<usize> for VcpuSet {
    fn from_iter<I: IntoIterator<Item = usize>>(vcpus: I) -> Self {
        let mut set = Self::EMPTY;
        vcpus.into_iter().for_each(|vcpu| set.insert(vcpu));
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_in_comes_out_in_order_and_nothing_else() {
        let set: VcpuSet = [1023, 0, 63, 64, 0].into_iter().collect();
        assert_eq!(set.iter().collect::<Vec<_>>(), [0, 63, 64, 1023]);
        assert!(set.contains(64) && !set.contains(65));
    }

    #[test]
    fn a_vcpu_that_no_machine_has_is_left_out() {
        let set: VcpuSet = [1024, usize::MAX].into_iter().collect();
        assert_eq!(set, VcpuSet::EMPTY);
        assert!(!set.contains(usize::MAX));
    }
}
