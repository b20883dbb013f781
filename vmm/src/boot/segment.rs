//! The parts of an image that become parts of guest memory, and whether they fit there.

use std::ops::Range;

use super::layout::Area;

/// A part of the file that becomes a part of guest memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Guest-physical load address (`p_paddr`).
    pub gpa: u64,
    /// The address it is linked to run at (`p_vaddr`).
    pub linear: u64,
    /// What of the file goes there. May be empty.
    pub file: Range<usize>,
    /// Bytes of memory it takes, at least the file's; what is more is zero. Never 0.
    pub mem_bytes: u64,
}

/// Why segments cannot be put where they want to be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlaceError {
    /// A segment does not fit guest memory.
    #[error("segment {gpa:#x}..{end:#x} is outside guest memory (0..{memory_bytes:#x}); give the guest at least {} MiB with --memory", end.div_ceil(1 << 20))]
    OutsideMemory {
        /// Load address.
        gpa: u64,
        /// Its end.
        end: u64,
        /// Bytes of guest memory.
        memory_bytes: u64,
    },
    /// A segment lies where we write at boot.
    #[error("segment {gpa:#x}..{end:#x} overlaps {what} at {:#x}..{:#x}; link the guest at 1 MiB or higher", area.start, area.end)]
    OnBootData {
        /// Load address.
        gpa: u64,
        /// Its end.
        end: u64,
        /// What is there.
        what: &'static str,
        /// Where that is.
        area: Range<u64>,
    },
}

impl Segment {
    /// Guest-physical address of the first byte behind it. The checks of a format saw to it that
    /// there is one.
    pub fn end(&self) -> u64 {
        self.gpa.saturating_add(self.mem_bytes)
    }

    /// Whether the `bytes` from `gpa` lie in it.
    pub fn holds(&self, gpa: u64, bytes: u64) -> bool {
        let end = gpa.checked_add(bytes);
        gpa >= self.gpa && end.is_some_and(|end| end <= self.end())
    }

    /// Checks that it fits a guest with RAM from 0 to `memory_bytes` and leaves `areas` alone.
    ///
    /// # Errors
    /// [`PlaceError`].
    pub fn check_fits(&self, memory_bytes: u64, areas: &[Area]) -> Result<(), PlaceError> {
        let (gpa, end) = (self.gpa, self.end());
        if end > memory_bytes {
            return Err(PlaceError::OutsideMemory {
                gpa,
                end,
                memory_bytes,
            });
        }
        for (area, what) in areas {
            if gpa < area.end && area.start < end {
                return Err(PlaceError::OnBootData {
                    gpa,
                    end,
                    what,
                    area: area.clone(),
                });
            }
        }
        Ok(())
    }

    /// Where in the file the `bytes` are that the guest has at `linear`, if they all come from it.
    pub fn file_range(&self, linear: u64, bytes: usize) -> Option<Range<usize>> {
        let offset = usize::try_from(linear.checked_sub(self.linear)?).ok()?;
        let start = self.file.start.checked_add(offset)?;
        let end = start.checked_add(bytes)?;
        (start >= self.file.start && end <= self.file.end).then_some(start..end)
    }
}
