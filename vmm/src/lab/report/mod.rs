//! What `vmm report` makes of experiments' results: a page to read and tables to compute with.
//!
//! Everything that comes from the files is data: it is escaped where it is written, and nothing is
//! sized by a number in it.

mod cell;
mod compare;
mod csv;
mod error;
mod figures;
mod findings;
mod folder;
mod html;
mod layout;
#[cfg(test)]
mod made;
mod metric;
mod page;
mod plot;
mod provenance;
mod study;
mod tables;
mod targets;
mod value;

pub use compare::{Comparison, compare};
pub use csv::{cells, compared, runs};
pub use error::ReportError;
pub use folder::{Folder, read};
pub use page::{comparison_page, comparison_summary, page, summary};
pub use study::{Study, join};
