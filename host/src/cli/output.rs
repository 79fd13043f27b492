//! What commands print: columns for people, JSON for programs.

use std::io::Write;

/// Prints one line to standard output. A reader that has gone away (`| head`) is no error.
pub(super) fn line(text: impl std::fmt::Display) {
    let _ = try_line(text);
}

/// Prints one line, and says whether anybody still reads.
pub(super) fn try_line(text: impl std::fmt::Display) -> std::io::Result<()> {
    writeln!(std::io::stdout(), "{text}")
}

/// Prints what somebody should know beside the output, to standard error.
pub(super) fn warning(text: impl std::fmt::Display) {
    let _ = writeln!(std::io::stderr(), "warning: {text}");
}

/// A number, or a hyphen where there is none.
pub(super) fn number(number: Option<u64>) -> String {
    number.map_or_else(|| "-".to_owned(), |number| number.to_string())
}

/// Aligns rows under their header, two blanks between columns.
pub(super) fn columns<const N: usize>(header: [&str; N], rows: &[[String; N]]) -> String {
    let mut widths = header.map(|title| title.chars().count());
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let render = |cells: [&str; N]| {
        let mut line = String::new();
        for (cell, width) in cells.iter().zip(widths) {
            line.push_str(cell);
            line.extend(std::iter::repeat_n(' ', width - cell.chars().count() + 2));
        }
        line.trim_end().to_owned()
    };
    let mut lines = vec![render(header)];
    lines.extend(rows.iter().map(|row| render(row.each_ref().map(String::as_str))));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [["1".to_owned(), "left".to_owned()], ["22".to_owned(), "é".to_owned()]];
        assert_eq!(columns(["ID", "Node name"], &rows), "ID  Node name\n1   left\n22  é");
    }
}
