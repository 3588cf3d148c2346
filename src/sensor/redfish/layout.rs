//! Which chassis there are, whose power they tell, and where to read it with the fewest requests.

use super::client::Client;
use super::resource::{Figure, MOST_MEMBERS, Resource, Told, last};
use super::trouble::Trouble;
use crate::sensor::Fault;
use std::collections::{BTreeMap, BTreeSet};

/// Where chassis stand (DSP0266, 8.2).
const CHASSIS: &str = "/redfish/v1/Chassis";

/// Most pages of a list that are turned.
const MOST_PAGES: usize = 8;

/// Most power supplies of one chassis whose metrics are read one by one.
const MOST_SUPPLIES: usize = 16;

/// What begins the names of NVIDIA's baseboard and its parts, where a host's BMC shows them beside its own chassis:
/// they are fed by the host, whose power holds theirs.
const BASEBOARD: &str = "HGX_";

/// What is known of a machine's chassis.
#[derive(Default)]
pub struct Layout {
    /// Those that are read.
    pub chassis: Vec<Chassis>,
    /// What is amiss, for as long as this layout is in force.
    pub odd: Vec<Fault>,
}

/// A chassis that tells power.
#[derive(Clone, Debug, PartialEq)]
pub struct Chassis {
    /// Where it is.
    pub path: String,
    /// The last part of that.
    pub id: String,
    /// Whether its power is this node's.
    pub is_ours: bool,
    /// Who made it.
    pub vendor: String,
    /// What they call it.
    pub model: String,
    /// Where it tells power.
    pub total: Option<Total>,
    /// Where its power supplies do.
    pub supplies: Supplies,
}

impl Chassis {
    /// What told power before and does not now stays, to be a fault at every read.
    fn after(self, was: &Self) -> Self {
        let is_makeshift = |total: &Total| matches!(total, Total::Energy(_) | Total::Output);
        let total = match (self.total, &was.total) {
            (None, old) => old.clone(),
            (Some(new), Some(old)) if is_makeshift(&new) && !is_makeshift(old) => Some(old.clone()),
            (new, _) => new,
        };
        let supplies = match self.supplies {
            Supplies::None => was.supplies.clone(),
            new => new,
        };
        Self {
            total,
            supplies,
            ..self
        }
    }
}

/// Where a chassis tells what it draws.
#[derive(Clone, Debug, PartialEq)]
pub enum Total {
    /// `PowerWatts` of this `EnvironmentMetrics`.
    Metrics(String),
    /// The first of `PowerControl` of this `Power`.
    Control(String),
    /// `EnergyJoules` of this `EnvironmentMetrics`, where nothing tells power.
    Energy(String),
    /// What its power supplies give, where nothing else is told.
    Output,
}

/// Where power supplies tell what they take and give.
#[derive(Clone, Debug, PartialEq)]
pub enum Supplies {
    /// Nowhere, or not all of them.
    None,
    /// All in this `Power`.
    Power(String),
    /// Each in its own `PowerSupplyMetrics`, with its name.
    Metrics(Vec<(String, String)>),
}

/// A chassis as it describes itself.
struct Seen {
    path: String,
    resource: Resource,
}

impl Seen {
    fn id(&self) -> &str {
        last(&self.path)
    }

    fn parent(&self) -> Option<&str> {
        self.resource.link("/Links/ContainedBy")
    }
}

/// Looks at a machine. Chassis that cannot be read now stay as they were in `old`.
///
/// # Errors
/// Where nothing can be said at all.
pub fn look(client: &mut Client, named: &[String], old: &Layout) -> Result<Layout, Trouble> {
    let mut layout = Layout::default();
    let members = list(client, CHASSIS)?;
    let ids: Vec<&str> = members.iter().map(|path| last(path)).collect();
    let missing: Vec<&str> = named
        .iter()
        .map(String::as_str)
        .filter(|id| !ids.contains(id))
        .collect();
    if !missing.is_empty() {
        let trouble = Trouble::NoChassis {
            named: missing.join(", "),
            there: ids.join(", "),
        };
        layout.odd.push(trouble.fault(client.url()));
    }
    let is_meant = |path: &String| {
        let id = last(path);
        match named.is_empty() {
            true => !id.starts_with(BASEBOARD),
            false => named.iter().any(|named| named == id),
        }
    };
    let mut seen = Vec::new();
    for path in members.into_iter().filter(is_meant) {
        match client.get(&path) {
            Ok(resource) => seen.push(Seen { path, resource }),
            Err(trouble) if trouble.is_final() => return Err(trouble),
            Err(trouble) => keep(&mut layout, old, &path, trouble, client),
        }
    }
    let tree = Tree::of(&seen);
    let mut next: Vec<usize> = (0..seen.len()).filter(|at| tree.is_root(*at)).collect();
    while let Some(at) = next.pop() {
        let Some(chassis) = seen.get(at) else { continue };
        let was = old.chassis.iter().find(|was| was.path == chassis.path);
        match (probe(client, chassis, &mut layout.odd)?, was) {
            // What is inside is in its power already.
            (Some(found), None) => layout.chassis.push(found),
            (Some(found), Some(was)) => layout.chassis.push(found.after(was)),
            // It told power before: that it does not now is a fault, at every read.
            (None, Some(was)) => layout.chassis.push(was.clone()),
            (None, None) => next.extend(tree.inside(at)),
        }
    }
    layout.chassis.sort_by(|a, b| a.path.cmp(&b.path));
    layout.chassis.dedup_by(|a, b| a.total.is_some() && a.total == b.total && a.total != Some(Total::Output));
    if layout.chassis.is_empty() && layout.odd.is_empty() {
        let ids: Vec<&str> = seen.iter().map(Seen::id).collect();
        layout.odd.push(Trouble::NoPower(ids.join(", ")).fault(client.url()));
    }
    whose(&mut layout, &seen, &tree, named, client.url());
    Ok(layout)
}

/// A chassis that cannot be looked at stays as it was.
fn keep(layout: &mut Layout, old: &Layout, path: &str, trouble: Trouble, client: &Client) {
    match old.chassis.iter().find(|chassis| chassis.path == path) {
        Some(chassis) => layout.chassis.push(chassis.clone()),
        None => layout.odd.push(trouble.fault(&format!("{}{path}", client.url()))),
    }
}

/// Which chassis is inside of which.
struct Tree(Vec<Option<usize>>);

impl Tree {
    fn of(seen: &[Seen]) -> Self {
        let at: BTreeMap<&str, usize> = seen
            .iter()
            .enumerate()
            .map(|(at, chassis)| (trim(&chassis.path), at))
            .collect();
        let mut parents = vec![None; seen.len()];
        for (inner, chassis) in seen.iter().enumerate() {
            let outer = chassis.parent().and_then(|path| at.get(trim(path)));
            if let (Some(outer), Some(parent)) = (outer, parents.get_mut(inner))
                && *outer != inner
            {
                *parent = Some(*outer);
            }
        }
        // Some tell it from the other end alone.
        for (outer, chassis) in seen.iter().enumerate() {
            for path in chassis.resource.links("/Links/Contains") {
                let inner = at.get(trim(path)).copied();
                if let Some(parent) = inner.and_then(|inner| parents.get_mut(inner))
                    && inner != Some(outer)
                    && parent.is_none()
                {
                    *parent = Some(outer);
                }
            }
        }
        // In a ring nothing is outermost: whoever closes it is.
        for start in 0..parents.len() {
            let mut met = BTreeSet::from([start]);
            let mut at = start;
            while let Some(outer) = parents.get(at).copied().flatten() {
                if !met.insert(outer) {
                    parents[at] = None;
                    break;
                }
                at = outer;
            }
        }
        Self(parents)
    }

    fn is_root(&self, at: usize) -> bool {
        self.0.get(at).is_none_or(Option::is_none)
    }

    fn inside(&self, outer: usize) -> impl Iterator<Item = usize> {
        let all = self.0.iter().enumerate();
        all.filter(move |(_, parent)| **parent == Some(outer))
            .map(|(at, _)| at)
    }

    fn is_within(&self, inner: usize, outer: usize) -> bool {
        let mut at = inner;
        while let Some(parent) = self.0.get(at).copied().flatten() {
            if parent == outer {
                return true;
            }
            at = parent;
        }
        inner == outer
    }
}

fn trim(path: &str) -> &str {
    path.trim_end_matches('/')
}

/// Says which chassis are this node's.
fn whose(layout: &mut Layout, seen: &[Seen], tree: &Tree, named: &[String], url: &str) {
    if !named.is_empty() {
        layout.chassis.iter_mut().for_each(|chassis| chassis.is_ours = true);
        return;
    }
    let computers = |chassis: &Chassis| -> BTreeSet<String> {
        let outer = seen.iter().position(|seen| seen.path == chassis.path);
        let inside = seen.iter().enumerate();
        let inside = inside.filter(|(at, _)| outer.is_some_and(|outer| tree.is_within(*at, outer)));
        let links = inside.flat_map(|(_, seen)| seen.resource.links("/Links/ComputerSystems"));
        links
            .filter(|path| !last(path).starts_with(BASEBOARD))
            .map(|path| trim(path).to_owned())
            .collect()
    };
    let is_seen = |chassis: &Chassis| seen.iter().any(|seen| seen.path == chassis.path);
    let held: Vec<BTreeSet<String>> = layout.chassis.iter().map(computers).collect();
    let all: BTreeSet<&String> = held.iter().flatten().collect();
    let is_lone = layout.chassis.len() == 1;
    for (chassis, held) in layout.chassis.iter_mut().zip(&held) {
        if !is_seen(chassis) {
            continue;
        }
        // Where no chassis says what it holds, a lone one holds the node.
        chassis.is_ours = match all.len() {
            0 => is_lone,
            1 => held.len() == 1,
            _ => false,
        };
    }
    if !layout.chassis.is_empty() && layout.chassis.iter().all(|chassis| !chassis.is_ours) {
        let ids: Vec<&str> = layout.chassis.iter().map(|chassis| chassis.id.as_str()).collect();
        let trouble = Trouble::Whose {
            chassis: ids.join(", "),
            computers: all.len(),
        };
        layout.odd.push(trouble.fault(url));
    }
}

/// The paths of a list, page by page.
fn list(client: &mut Client, path: &str) -> Result<Vec<String>, Trouble> {
    let mut found = Vec::new();
    let mut next = Some(path.to_owned());
    for _ in 0..MOST_PAGES {
        let Some(path) = next.take() else { break };
        let page = client.get(&path)?;
        found.extend(page.links("/Members").into_iter().map(str::to_owned));
        let more = page.text("/Members@odata.nextLink");
        next = super::resource::is_path(more).then(|| more.to_owned());
    }
    found.truncate(MOST_MEMBERS);
    Ok(found)
}

/// Finds out where a chassis tells power; `None` where it does not.
fn probe(
    client: &mut Client,
    seen: &Seen,
    odd: &mut Vec<Fault>,
) -> Result<Option<Chassis>, Trouble> {
    if !seen.resource.is_active() {
        return Ok(None);
    }
    let mut troubles = Vec::new();
    let mut follow = |client: &mut Client, link: &str| match seen.resource.link(link) {
        None => Ok(None),
        Some(path) => {
            let found = optional(client, path, &mut troubles)?;
            Ok(found.map(|resource| (path.to_owned(), resource)))
        }
    };
    let metrics = follow(client, "/EnvironmentMetrics")?;
    let power = follow(client, "/Power")?;
    let subsystem = seen.resource.link("/PowerSubsystem");

    let mut total = metrics.as_ref().and_then(|(path, resource)| {
        is_told(&resource.watts("/PowerWatts/Reading")).then(|| Total::Metrics(path.clone()))
    });
    let mut supplies = Supplies::None;
    let mut told = Vec::new();
    if let Some((path, resource)) = &power {
        let control = resource.controls().into_iter().next();
        let is_good = control.is_some_and(|c| c.is_active && is_told(&c.watts));
        total = total.or_else(|| is_good.then(|| Total::Control(path.clone())));
        told = resource.supplies();
        if is_complete(&told, |told| &told.watts) {
            supplies = Supplies::Power(path.clone());
        }
    }
    if supplies == Supplies::None
        && let Some(path) = subsystem
    {
        let (places, new) = supplies_of(client, path, &mut troubles)?;
        if is_complete(&new, |told| &told.watts) {
            supplies = Supplies::Metrics(places.clone());
        } else if total.is_none() && told.is_empty() && is_complete(&new, |told| &told.output) {
            total = Some(Total::Output);
            supplies = Supplies::Metrics(places);
        }
    }
    total = total.or_else(|| {
        let (path, resource) = metrics.as_ref()?;
        resource.joules().good()?;
        Some(Total::Energy(path.clone()))
    });
    if total.is_none()
        && supplies == Supplies::None
        && let Some((path, _)) = power
        && is_complete(&told, |told| &told.output)
    {
        total = Some(Total::Output);
        supplies = Supplies::Power(path);
    }
    if total.is_none() {
        let url = client.url();
        odd.extend(troubles.into_iter().map(|(path, trouble)| trouble.fault(&format!("{url}{path}"))));
    }
    if total.is_none() && supplies == Supplies::None {
        return Ok(None);
    }
    Ok(Some(Chassis {
        path: seen.path.clone(),
        id: seen.id().to_owned(),
        is_ours: false,
        vendor: seen.resource.text("/Manufacturer").chars().take(100).collect(),
        model: seen.resource.text("/Model").chars().take(100).collect(),
        total,
        supplies,
    }))
}

/// A resource that need not be there. What else goes wrong with it is noted.
fn optional(
    client: &mut Client,
    path: &str,
    troubles: &mut Vec<(String, Trouble)>,
) -> Result<Option<Resource>, Trouble> {
    match client.get(path) {
        Ok(resource) => Ok(Some(resource)),
        Err(trouble) if trouble.is_final() => Err(trouble),
        Err(Trouble::Status { status: 404 | 405 | 501, .. }) => Ok(None),
        Err(trouble) => {
            troubles.push((path.to_owned(), trouble));
            Ok(None)
        }
    }
}

/// The power supplies of a `PowerSubsystem`: where each tells its figures, and what they are now.
#[allow(clippy::type_complexity)]
fn supplies_of(
    client: &mut Client,
    subsystem: &str,
    troubles: &mut Vec<(String, Trouble)>,
) -> Result<(Vec<(String, String)>, Vec<Told>), Trouble> {
    let none = (Vec::new(), Vec::new());
    let Some(subsystem) = optional(client, subsystem, troubles)? else { return Ok(none) };
    let Some(path) = subsystem.link("/PowerSupplies") else { return Ok(none) };
    let members = match list(client, path) {
        Ok(members) => members,
        Err(trouble) if trouble.is_final() => return Err(trouble),
        Err(_) => return Ok(none),
    };
    if members.len() > MOST_SUPPLIES {
        return Ok(none);
    }
    let (mut places, mut told) = (Vec::new(), Vec::new());
    for member in members {
        let Some(supply) = optional(client, &member, troubles)? else { return Ok(none) };
        if !supply.is_active() {
            continue;
        }
        // One that tells nothing makes what the others tell less than the node.
        let Some(metrics) = supply.link("/Metrics") else { return Ok(none) };
        let Some(figures) = optional(client, metrics, troubles)? else { return Ok(none) };
        let id = last(&member).to_owned();
        told.push(figures.supply(&id));
        places.push((id, metrics.to_owned()));
    }
    Ok((places, told))
}

fn is_told(figure: &Figure) -> bool {
    figure.good().is_some_and(|watts| watts > 0.0)
}

/// Whether every power supply that is there and at work tells a side of it, and something comes of it: a machine that
/// runs does not draw 0 W, which is what some BMCs say of supplies that they cannot ask.
pub fn is_complete(told: &[Told], side: fn(&Told) -> &Figure) -> bool {
    let active = || told.iter().filter(|told| told.is_active);
    active().all(|told| side(told).good().is_some()) && active().any(|told| is_told(side(told)))
}
