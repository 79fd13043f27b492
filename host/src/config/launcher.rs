//! `launcher.conf`: nothing of it is needed, and what asks for another way to run sessions ends the start.

use std::collections::BTreeSet;

use super::{Problem, file::File, reader::Reader};

/// Answers what the file says.
pub(super) fn read(file: &File, problems: &mut Vec<Problem>) {
    let sections: BTreeSet<_> = file.entries.iter().map(|entry| entry.section.as_deref()).collect();
    for section in sections {
        Reader::new(file, section, problems).finish();
    }
}
