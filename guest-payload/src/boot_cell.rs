//! State that the boot CPU writes before any other CPU runs, and all CPUs read afterwards.

use core::cell::UnsafeCell;

/// One value, written during boot only.
pub(crate) struct BootCell<T>(UnsafeCell<T>);

// SAFETY: writes happen while the boot CPU is the only one; see `set`.
unsafe impl<T> Sync for BootCell<T> {}

impl<T> BootCell<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(UnsafeCell::new(value))
    }

    /// Replaces the value.
    ///
    /// # Safety
    /// No other CPU runs yet, and nobody holds a reference from [`Self::get`].
    pub(crate) unsafe fn set(&self, value: T) {
        // SAFETY: the caller is alone.
        unsafe { *self.0.get() = value };
    }

    pub(crate) fn get(&self) -> &T {
        // SAFETY: never written again once there may be readers.
        unsafe { &*self.0.get() }
    }
}
