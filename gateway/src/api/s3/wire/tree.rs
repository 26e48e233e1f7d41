//! A small document as a tree: for configurations, which are short and of many forms.

use quick_xml::events::Event;

use super::xml::{MalformedXml, XmlParser, character};

/// The most elements that a document may have: a thousand lifecycle rules with a dozen elements each.
const MAX_ELEMENTS: usize = 20_000;

/// An element.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Element {
    /// Its name, without a prefix.
    pub name: String,
    /// Its text.
    pub text: String,
    /// Its `xsi:type`.
    pub kind: Option<String>,
    /// What is in it.
    pub children: Vec<Element>,
}

impl Element {
    /// Reads a document whose root has this name.
    pub fn parse(document: &[u8], root: &str) -> Result<Self, MalformedXml> {
        match Self::parse_any(document)? {
            element if element.name == root => Ok(element),
            _ => Err(MalformedXml),
        }
    }

    /// Reads a document whatever its root's name.
    pub fn parse_any(document: &[u8]) -> Result<Self, MalformedXml> {
        let (mut parser, root) = XmlParser::any_root(document)?;
        // The elements that we are in, the root first.
        let mut path = vec![Element { name: root.into_owned(), ..Element::default() }];
        let mut count = 0;
        while let Some(inner) = path.last_mut() {
            match parser.event()? {
                Event::Start(start) => {
                    parser.enter()?;
                    count += 1;
                    if count > MAX_ELEMENTS {
                        return Err(MalformedXml);
                    }
                    let kind =
                        start.attributes().flatten().find(|a| a.key.local_name().into_inner() == "type");
                    path.push(Element {
                        name: start.local_name().into_inner().to_owned(),
                        kind: kind.map(|kind| kind.value.to_string()),
                        ..Element::default()
                    });
                }
                Event::End(_) => {
                    parser.depth -= 1;
                    let Some(ended) = path.pop() else { break };
                    if !ended.children.is_empty() && !ended.text.trim().is_empty() {
                        return Err(MalformedXml);
                    }
                    match path.last_mut() {
                        Some(outer) => outer.children.push(ended),
                        None => {
                            parser.end()?;
                            return Ok(ended);
                        }
                    }
                }
                Event::Text(piece) => inner.text.push_str(&piece.xml10_content()),
                Event::CData(piece) => inner.text.push_str(&piece.xml10_content()),
                Event::GeneralRef(reference) => inner.text.push(character(&reference)?),
                Event::Comment(_) | Event::PI(_) => {}
                _ => return Err(MalformedXml),
            }
        }
        Err(MalformedXml)
    }

    /// Its one child of this name; more than one is malformed.
    pub fn child(&self, name: &str) -> Result<Option<&Self>, MalformedXml> {
        let mut found = self.children.iter().filter(|child| child.name == name);
        match (found.next(), found.next()) {
            (_, Some(_)) => Err(MalformedXml),
            (child, None) => Ok(child),
        }
    }

    /// Its child of this name, which must be there.
    pub fn required(&self, name: &str) -> Result<&Self, MalformedXml> {
        self.child(name)?.ok_or(MalformedXml)
    }

    /// The text of its child of this name, without blanks around it.
    pub fn text_of(&self, name: &str) -> Result<Option<&str>, MalformedXml> {
        Ok(self.child(name)?.map(|child| child.text.trim()))
    }

    /// The texts of its children of this name.
    pub fn texts_of(&self, name: &str) -> Vec<String> {
        self.all(name).map(|child| child.text.trim().to_owned()).collect()
    }

    /// Its children of this name.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Self> {
        self.children.iter().filter(move |child| child.name == name)
    }

    /// The number of its child of this name.
    pub fn number_of<T: std::str::FromStr>(&self, name: &str) -> Result<Option<T>, MalformedXml> {
        self.text_of(name)?.map(|text| text.parse().map_err(|_| MalformedXml)).transpose()
    }

    /// Refuses children of other names than these.
    pub fn only(&self, names: &[&str]) -> Result<&Self, MalformedXml> {
        match self.children.iter().all(|child| names.contains(&child.name.as_str())) {
            true => Ok(self),
            false => Err(MalformedXml),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_becomes_a_tree() {
        let document =
            b"<A xmlns='urn:x' xmlns:xsi='urn:i'><B xsi:type='Group'> one </B><C><D>2</D></C><B/></A>";
        let tree = Element::parse(document, "A").unwrap();
        assert_eq!(tree.children.len(), 3);
        assert_eq!(
            (tree.children[0].text.as_str(), tree.children[0].kind.as_deref()),
            (" one ", Some("Group"))
        );
        assert_eq!(tree.required("C").unwrap().number_of::<u32>("D"), Ok(Some(2)));
        assert_eq!(tree.child("B"), Err(MalformedXml));
        assert_eq!(tree.only(&["B"]).err(), Some(MalformedXml));
        assert_eq!(tree.texts_of("B"), ["one", ""]);
        assert!(Element::parse(b"<A><B>x</A>", "A").is_err());
        let many = format!("<A>{}</A>", "<B/>".repeat(MAX_ELEMENTS + 1));
        assert_eq!(Element::parse(many.as_bytes(), "A"), Err(MalformedXml));
    }
}
