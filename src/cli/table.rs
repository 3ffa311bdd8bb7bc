//! Tables for people: columns as wide as their widest cell.

/// Lays out rows under their headings; numbers to the right, all else to the left.
pub(super) fn table<const N: usize>(headings: [&str; N], rows: &[[String; N]]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([headings[column].len()]).max().unwrap_or(0)
    };
    let widths: [usize; N] = std::array::from_fn(width);
    let numeric: [bool; N] = std::array::from_fn(|column| {
        rows.iter().all(|row| row[column].bytes().all(|byte| b"0123456789-".contains(&byte)))
    });
    let line = |cells: [&str; N]| {
        let mut line = String::new();
        for (column, cell) in cells.into_iter().enumerate() {
            let width = widths[column];
            if numeric[column] {
                line.push_str(&format!("{cell:>width$}  "));
            } else {
                line.push_str(&format!("{cell:<width$}  "));
            }
        }
        line.trim_end().to_string() + "\n"
    };
    let rows = rows.iter().map(|row| line(row.each_ref().map(String::as_str)));
    std::iter::once(line(headings)).chain(rows).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn columns_line_up() {
        let row = |name: &str, id: &str| [name.to_string(), id.to_string()];
        let text = super::table(["name", "id"], &[row("n1", "1"), row("n2-long", "123")]);
        assert_eq!(text, "name      id\nn1         1\nn2-long  123\n");
    }
}
