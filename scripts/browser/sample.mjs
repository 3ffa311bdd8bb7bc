// A board as it may look after a few days: for pictures.
//
// Titles are of pages that have been there for long; people and what they say are made up.

/** Who there is. The last one moderates. */
export const NAMES = ["mara", "ole", "tomoko", "ines_v", "silas", "joaquin", "greta"];

/** How long ago, in minutes: what was posted then, by whom, and who of the others likes it. */
export const DAYS = [
  [3_100, [
    ["tomoko", "How SQLite is tested",
      "https://www.sqlite.org/testing.html", "mara ole ines_v silas joaquin"],
    ["ole", "The Architecture of Open Source Applications", "https://aosabook.org/", "tomoko silas"],
    ["silas", "Jepsen: a map of consistency models", "https://jepsen.io/consistency", "mara tomoko ines_v"],
  ]],
  [1_530, [
    ["ines_v", "In search of an understandable consensus algorithm",
      "https://raft.github.io/", "mara ole tomoko silas greta"],
    ["joaquin", "What every packet goes through on its way out of Linux",
      "https://wiki.linuxfoundation.org/networking/kernel_flow", "ole"],
  ]],
  [540, [
    ["mara", "The bowline, step by step: the knot that holds and still comes undone",
      "https://www.animatedknots.com/bowline-knot", "ole tomoko ines_v silas joaquin greta"],
    ["ole", "A text browser that is older than most web sites",
      "https://lynx.invisible-island.net/", "mara ines_v"],
  ]],
  [170, [
    ["joaquin",
      "\u0645\u0642\u062f\u0645\u0629 \u0639\u0646 \u0625\u062f\u0627\u0631\u0629 \u0627\u0644\u0646\u0633\u062e",
      "https://git-scm.com/book/ar/v2", "tomoko mara"],
    ["mara", "PNG, third edition: what the five filters are for",
      "https://www.w3.org/TR/png-3/", "silas greta tomoko"],
    ["silas", "Buy cheap watches here!!!", "https://watches.example/offer", ""],
  ]],
  [44, [
    ["tomoko", "Notes on the dot language", "https://graphviz.org/doc/info/lang.html", "mara ole"],
    ["greta", "Everything curl can do, and a little more",
      "https://curl.se/docs/manpage.html", "ole silas joaquin ines_v"],
  ]],
  [3, [
    ["ines_v", "How map tiles are made, and why there are so many of them",
      "https://wiki.openstreetmap.org/wiki/Tiles", "mara"],
    ["mara", "SQLite as an application file format", "https://www.sqlite.org/appfileformat.html", ""],
  ]],
];

/** The post that is talked about, by its URL, and when. */
export const TALKED_ABOUT = "https://www.animatedknots.com/bowline-knot";
export const TALK_AGO = 170;
export const TALK = [
  ["ole",
    "I learned it with the rabbit, the hole and the tree, and have tied it wrong ever since. The second " +
    "drawing is what I was missing: the loop has to be made over the standing part, not under it.",
    [
      ["mara", "The rabbit has much to answer for."],
      ["silas",
        "There is a left-handed one too, where the end comes out on the other side. Sailors and climbers " +
        "disagree about which is better, at length."],
    ]],
  ["tomoko",
    "What I like most: however hard it was pulled, you can still open it. Few things that hold a ship can " +
    "be undone with two fingers.\n\nThe double one further down is what climbers use, see also " +
    "https://www.animatedknots.com/double-bowline-knot",
    []],
  ["joaquin", "Works with yarn as well.", [
    ["greta", "So does everything that works with rope, in my experience. The reverse is what gets you."],
  ]],
];

/** What the moderator hides, and why. */
export const HIDDEN = ["https://watches.example/offer", "An advertisement"];
/** What is given another title. */
export const RETITLED = ["https://graphviz.org/doc/info/lang.html", "Notes on the dot language, with pictures"];
/** What cannot be posted. */
export const REFUSED = {
  title: "A fairly complete history of the knots that sailors, climbers, weavers and surgeons have each " +
    "invented on their own and then given four different names",
  url: "ftp://ftp.gnu.org/gnu/",
};
