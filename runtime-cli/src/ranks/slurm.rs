//! Names of nodes as SLURM writes them.

/// The first node of a list such as `node[01-04,07],login`; `None` if it is not one.
pub(super) fn first_node(list: &str) -> Option<String> {
    let end = list.find([',', '[']).unwrap_or(list.len());
    let (name, rest) = list.split_at(end);
    let Some(inside) = rest.strip_prefix('[') else { return (!name.is_empty()).then(|| name.to_owned()) };
    let (inside, after) = inside.split_once(']')?;
    let number = inside.split([',', '-']).next().filter(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))?;
    // A node may have several brackets: `rack[1-2]node[1-4]`.
    let tail = if after.is_empty() || after.starts_with(',') { String::new() } else { first_node(after)? };
    Some(format!("{name}{number}{tail}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_node_of_a_list() {
        let first = |list| first_node(list);
        for (list, node) in [
            ("node7", "node7"),
            ("a,b", "a"),
            ("node[01-04,07],login", "node01"),
            ("node[3,5-9]", "node3"),
            ("n-1-[10-12]", "n-1-10"),
            ("rack[1-2]node[05-06]", "rack1node05"),
            ("cn[001-002].cluster", "cn001.cluster"),
        ] {
            assert_eq!(first(list).as_deref(), Some(node), "{list}");
        }
        for list in ["", "node[", "node[]", "node[a-b]", ",a"] {
            assert_eq!(first(list), None, "{list}");
        }
    }
}
