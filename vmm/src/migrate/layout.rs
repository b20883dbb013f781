//! Where the regions of guest memory lie, in pages.

use vm_memory::{Address, GuestMemoryBackend, GuestMemoryMmap, GuestMemoryRegion};

use super::PAGE_BYTES;

/// A page of 4096 bytes, as a step in addresses.
const PAGE: u64 = PAGE_BYTES as u64;

/// One region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Region {
    /// Guest-physical address of its first page, divided by 4096.
    pub(super) first_page: u64,
    /// Its pages.
    pub(super) pages: u64,
}

/// All regions, in ascending order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Layout(Vec<Region>);

impl Layout {
    /// The layout of `memory`.
    pub(super) fn of(memory: &GuestMemoryMmap) -> Self {
        Self(
            memory
                .iter()
                .map(|region| Region {
                    first_page: region.start_addr().raw_value() / PAGE,
                    pages: region.len() / PAGE,
                })
                .collect(),
        )
    }

    /// As a peer described it. Nothing about it is believed: it is only compared.
    pub(super) fn claimed(regions: Vec<Region>) -> Self {
        Self(regions)
    }

    pub(super) fn regions(&self) -> &[Region] {
        &self.0
    }

    /// Pages of all regions.
    pub(super) fn pages(&self) -> u64 {
        self.0
            .iter()
            .fold(0, |sum, region| sum.saturating_add(region.pages))
    }

    /// The place of the run of `pages` pages from `page` on among all pages, counted over the
    /// regions; `None` unless one region has them all.
    pub(super) fn index_of(&self, page: u64, pages: u64) -> Option<usize> {
        let mut before = 0u64;
        for region in &self.0 {
            if let Some(offset) = page.checked_sub(region.first_page)
                && offset < region.pages
            {
                let fits = pages <= region.pages - offset;
                return fits.then(|| usize::try_from(before + offset).ok())?;
            }
            before += region.pages;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout() -> Layout {
        Layout(vec![
            Region {
                first_page: 0,
                pages: 10,
            },
            Region {
                first_page: 100,
                pages: 5,
            },
        ])
    }

    #[test]
    fn only_runs_within_one_region_have_a_place() {
        for (page, pages, index) in [
            (0, 10, Some(0)),
            (9, 1, Some(9)),
            (9, 2, None),
            (10, 1, None),
            (99, 2, None),
            (100, 5, Some(10)),
            (104, 1, Some(14)),
            (104, u64::MAX, None),
            (u64::MAX, u64::MAX, None),
        ] {
            assert_eq!(layout().index_of(page, pages), index, "{page} {pages}");
        }
        assert_eq!(layout().pages(), 15);
    }
}
