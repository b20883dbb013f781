//! A lock's name for everybody but itself.

/// Where a lock lives. All that is left of a lock that has been released: it may be freed memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LockAddress(u64);

impl LockAddress {
    /// The address of `lock`.
    #[inline(always)]
    pub fn of<T>(lock: &T) -> Self {
        Self(core::ptr::from_ref(lock).addr() as u64)
    }

    /// The address as a number, as the host sees it.
    #[inline(always)]
    pub fn get(self) -> u64 {
        self.0
    }
}
