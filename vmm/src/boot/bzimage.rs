//! A strict look at a bzImage: Linux with the setup code that unpacks it.
//!
//! Format: the kernel's `Documentation/arch/x86/boot.rst`. It is entered by the 64-bit boot
//! protocol, so the real-mode code in front is not run.

use std::ops::Range;

use super::field::{u16_at, u32_at, u64_at};
use super::layout::{self, Area};
use super::segment::{PlaceError, Segment};

/// Where the setup header starts in the file and in `boot_params`.
pub(super) const HEADER_AT: usize = 0x1f1;
/// The most that the header has room for in `boot_params`.
pub(super) const HEADER_END_MAX: usize = 0x290;
const BOOT_FLAG_AT: usize = 0x1fe;
const BOOT_FLAG: [u8; 2] = [0x55, 0xaa];
/// The low byte of the jump over the header: where the header ends, from here plus one.
const JUMP_AT: usize = 0x201;
const MAGIC_AT: usize = 0x202;
const MAGIC: &[u8] = b"HdrS";
/// The fields that protocol 2.12 has end here.
const FIELDS_END: usize = 0x268;
/// `xloadflags` came with it.
const VERSION_MIN: u16 = 0x20c;
const LOADED_HIGH: u8 = 1 << 0;
/// XLF_KERNEL_64.
const HAS_64_BIT_ENTRY: u16 = 1 << 0;
/// The 64-bit entry point, from the start of the protected-mode code.
const ENTRY_OFFSET: u64 = 0x200;
const SECTOR_BYTES: usize = 512;
/// What 0 setup sectors stand for.
const SETUP_SECTORS_DEFAULT: u8 = 4;
/// Unit of `syssize`.
const PARAGRAPH_BYTES: u64 = 16;

/// A bzImage that was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// The setup header in the file.
    pub header: Range<usize>,
    /// The protected-mode code: where it is loaded, and where it is in the file.
    pub code: Segment,
    /// What the unpacked kernel takes before it reads the memory map.
    pub unpacked: Range<u64>,
    /// The last byte an initrd may have (`initrd_addr_max`).
    pub initrd_last: u32,
    /// The most bytes of a command line, without its NUL (`cmdline_size`).
    pub command_line_max: u32,
}

/// Why a bzImage is refused. The caller puts the file's name in front.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Too old.
    #[error(
        "bzImage of boot protocol {}.{:02}: it has to be 2.12 (Linux 3.8) or later",
        version >> 8,
        version & 0xff
    )]
    TooOld {
        /// Version of the protocol.
        version: u16,
    },
    /// Not a "big" one.
    #[error("a zImage, loaded below 1 MiB; build a bzImage")]
    ZImage,
    /// No 64-bit entry point.
    #[error("bzImage of a 32-bit kernel (no 64-bit entry point); give a 64-bit one")]
    ThirtyTwoBit,
    /// The file ends before what the header says it has.
    #[error(
        "truncated: the bzImage's {part} ends at byte {needed}, the file at byte {length}; copy it again"
    )]
    Truncated {
        /// What is cut.
        part: &'static str,
        /// The file would need this many bytes at least.
        needed: u64,
        /// Bytes of the file.
        length: usize,
    },
    /// Fields that contradict each other.
    #[error("bzImage: {field} is {value:#x}, which cannot be; the file is damaged")]
    Field {
        /// Which.
        field: &'static str,
        /// What it says.
        value: u64,
    },
}

/// Whether `bytes` start like a bzImage, which the first 8 KiB tell.
pub fn is_one(bytes: &[u8]) -> bool {
    let starts =
        |at: usize, magic: &[u8]| bytes.get(at..).is_some_and(|rest| rest.starts_with(magic));
    starts(BOOT_FLAG_AT, &BOOT_FLAG) && starts(MAGIC_AT, MAGIC)
}

impl Image {
    /// Checks `bytes`, a whole file of which [`is_one`] is true.
    ///
    /// # Errors
    /// [`Error`].
    pub fn check(bytes: &[u8]) -> Result<Self, Error> {
        let truncated = |part, needed| Error::Truncated {
            part,
            needed,
            length: bytes.len(),
        };
        let file = Header(bytes);
        if bytes.len() < FIELDS_END {
            return Err(truncated("setup header", FIELDS_END as u64));
        }
        let version = u16_at(file.0, 0x206);
        if version < VERSION_MIN {
            return Err(Error::TooOld { version });
        }
        if file.u8_at(0x211) & LOADED_HIGH == 0 {
            return Err(Error::ZImage);
        }
        if u16_at(file.0, 0x236) & HAS_64_BIT_ENTRY == 0 {
            return Err(Error::ThirtyTwoBit);
        }
        let setup_sectors = match file.u8_at(HEADER_AT) {
            0 => SETUP_SECTORS_DEFAULT,
            sectors => sectors,
        };
        let setup_bytes = (usize::from(setup_sectors) + 1) * SECTOR_BYTES;
        let system_bytes = u64::from(u32_at(file.0, 0x1f4)) * PARAGRAPH_BYTES;
        let needed = setup_bytes as u64 + system_bytes;
        // Whatever the header says, there is code at the entry point.
        let needed = needed.max(setup_bytes as u64 + ENTRY_OFFSET + 1);
        if needed > bytes.len() as u64 {
            return Err(truncated("kernel", needed));
        }
        let header_end = (MAGIC_AT + usize::from(file.u8_at(JUMP_AT))).min(HEADER_END_MAX);
        if header_end < FIELDS_END || header_end > setup_bytes {
            return Err(Error::Field {
                field: "the setup header's end",
                value: header_end as u64,
            });
        }
        let load = u32_at(file.0, 0x214);
        if u64::from(load) < layout::HIGH_RAM {
            return Err(Error::Field {
                field: "code32_start",
                value: load.into(),
            });
        }
        let code = Segment {
            gpa: load.into(),
            linear: load.into(),
            file: setup_bytes..bytes.len(),
            mem_bytes: (bytes.len() - setup_bytes) as u64,
        };
        Ok(Self {
            header: HEADER_AT..header_end,
            unpacked: file.unpacked(load)?,
            code,
            initrd_last: u32_at(file.0, 0x22c),
            command_line_max: u32_at(file.0, 0x238),
        })
    }

    /// The 64-bit entry point.
    pub fn entry(&self) -> u64 {
        self.code.gpa + ENTRY_OFFSET
    }

    /// Guest-physical address of the first byte that neither the code nor the kernel in it takes.
    pub fn end(&self) -> u64 {
        self.code.end().max(self.unpacked.end)
    }

    /// Checks that code and kernel fit a guest with RAM from 0 to `memory_bytes` and leave `areas`
    /// alone.
    ///
    /// # Errors
    /// [`PlaceError`].
    pub fn check_fits(&self, memory_bytes: u64, areas: &[Area]) -> Result<(), PlaceError> {
        self.code.check_fits(memory_bytes, areas)?;
        let kernel = Segment {
            gpa: self.unpacked.start,
            linear: 0,
            file: 0..0,
            mem_bytes: self.unpacked.end - self.unpacked.start,
        };
        kernel.check_fits(memory_bytes, areas)
    }
}

/// The setup header, of which the caller knows the first [`FIELDS_END`] bytes to be there.
struct Header<'a>(&'a [u8]);

impl Header<'_> {
    /// Where the kernel unpacks itself: at its preferred address, or where it is loaded if that is
    /// higher and it can be moved. It copies itself to the end of that room first.
    fn unpacked(&self, load: u32) -> Result<Range<u64>, Error> {
        let preferred = u64_at(self.0, 0x258);
        let align = u64::from(u32_at(self.0, 0x230));
        let bytes = u64::from(u32_at(self.0, 0x260));
        let start = match self.u8_at(0x234) {
            0 => preferred,
            _ if align.is_power_of_two() => u64::from(load).next_multiple_of(align).max(preferred),
            _ => {
                return Err(Error::Field {
                    field: "kernel_alignment",
                    value: align,
                });
            }
        };
        match start.checked_add(bytes) {
            Some(end) if bytes > 0 => Ok(start..end),
            Some(_) => Err(Error::Field {
                field: "init_size",
                value: bytes,
            }),
            None => Err(Error::Field {
                field: "pref_address",
                value: preferred,
            }),
        }
    }

    fn u8_at(&self, at: usize) -> u8 {
        self.0[at]
    }
}

#[cfg(test)]
#[path = "bzimage_test.rs"]
mod tests;
