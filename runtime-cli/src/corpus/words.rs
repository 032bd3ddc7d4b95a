//! The lexicon.

/// A person's name, and the pronouns that go with it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Person {
    pub(super) name: &'static str,
    pub(super) she: bool,
}

impl Person {
    pub(super) fn subject(self) -> &'static str {
        if self.she { "she" } else { "he" }
    }

    pub(super) fn object(self) -> &'static str {
        if self.she { "her" } else { "him" }
    }

    pub(super) fn possessive(self) -> &'static str {
        if self.she { "her" } else { "his" }
    }
}

pub(super) const WOMEN: [&str; 32] = [
    "Ada", "Mira", "Lena", "Hana", "Ruth", "Ella", "Nora", "Ines", "Greta", "Wanda", "Olive", "Petra", "Sonia", "Tilda", "Vera", "Yara",
    "Agnes", "Bridget", "Clara", "Dora", "Fiona", "Judith", "Kate", "Lucy", "Martha", "Odette", "Priya", "Rosa", "Sally", "Thea", "Una",
    "Zoe",
];

pub(super) const MEN: [&str; 32] = [
    "Tom", "Jon", "Sam", "Rolf", "Emil", "Hugo", "Ivan", "Karl", "Leo", "Max", "Ned", "Otto", "Paul", "Quin", "Remy", "Saul", "Theo",
    "Ulrich", "Victor", "Walt", "Abel", "Bruno", "Cyril", "Daniel", "Felix", "George", "Henry", "Jasper", "Luke", "Martin", "Oscar",
    "Peter",
];

pub(super) const TRADES: [&str; 24] = [
    "baker",
    "miller",
    "weaver",
    "smith",
    "shepherd",
    "fisher",
    "gardener",
    "clockmaker",
    "painter",
    "ferryman",
    "doctor",
    "teacher",
    "carpenter",
    "potter",
    "beekeeper",
    "sailor",
    "tailor",
    "printer",
    "fiddler",
    "lamplighter",
    "cook",
    "mapmaker",
    "gatekeeper",
    "bookbinder",
];

pub(super) const TOWN_STARTS: [&str; 28] = [
    "Ash", "Bren", "Cor", "Dun", "Elm", "Fair", "Glen", "Hart", "Iver", "Kirk", "Lang", "Marl", "Nether", "Oak", "Pen", "Quarr", "Raven",
    "Stone", "Thorn", "Upper", "Vel", "Wick", "Yar", "Alder", "Black", "Crow", "Ember", "Frost",
];

pub(super) const TOWN_ENDS: [&str; 20] = [
    "moor", "ford", "wick", "dale", "mouth", "bridge", "field", "ham", "combe", "stead", "haven", "water", "gate", "wood", "cliff", "ley",
    "port", "mere", "ness", "hill",
];

pub(super) const SETTINGS: [&str; 16] = [
    "by the sea",
    "at the foot of a mountain",
    "beside a slow river",
    "on the edge of the forest",
    "where two roads meet",
    "behind the old mill",
    "in a valley full of orchards",
    "near the salt marshes",
    "above the harbor",
    "at the end of the railway",
    "under a ruined castle",
    "on an island of sheep",
    "among the vineyards",
    "beyond the last bridge",
    "in the shadow of a tall tower",
    "along the canal",
];

pub(super) const QUALITIES: [&str; 28] = [
    "red", "blue", "green", "yellow", "white", "black", "silver", "golden", "brass", "wooden", "tiny", "heavy", "broken", "painted",
    "rusty", "striped", "velvet", "crooked", "polished", "ancient", "borrowed", "hollow", "copper", "purple", "folded", "faded", "round",
    "carved",
];

pub(super) const THINGS: [&str; 40] = [
    "kite", "key", "lantern", "coin", "map", "ring", "flute", "book", "mirror", "compass", "bell", "ladder", "cup", "knife", "drum", "hat",
    "letter", "candle", "basket", "clock", "feather", "hammer", "umbrella", "whistle", "saddle", "chest", "violin", "shell", "teapot",
    "medal", "rope", "bottle", "boat", "pipe", "lens", "glove", "button", "thimble", "globe", "harp",
];

pub(super) const PLACES: [&str; 36] = [
    "under the bench",
    "behind the stove",
    "in the well",
    "on the highest shelf",
    "inside the hollow oak",
    "beneath the stairs",
    "in the barn",
    "under a loose stone",
    "behind the waterfall",
    "in the bell tower",
    "at the bottom of the trunk",
    "between two books",
    "in the empty beehive",
    "under the bridge",
    "behind the curtain",
    "in the flour barrel",
    "on the windowsill",
    "in the boathouse",
    "beneath the apple tree",
    "inside the piano",
    "in the left boot",
    "under the doormat",
    "behind the portrait",
    "in the cellar",
    "on the roof",
    "beside the chimney",
    "in the attic",
    "under the blue rug",
    "in the rowing boat",
    "behind the woodpile",
    "inside the clay jar",
    "in the garden shed",
    "under the pillow",
    "at the back of the drawer",
    "in the hay",
    "behind the third door",
];

/// Deeds: infinitive, and past tense.
pub(super) const DEEDS: [(&str, &str); 28] = [
    ("mend the fence", "mended the fence"),
    ("water the roses", "watered the roses"),
    ("feed the geese", "fed the geese"),
    ("bring back the cart", "brought back the cart"),
    ("paint the gate", "painted the gate"),
    ("sweep the chimney", "swept the chimney"),
    ("write a letter to the mayor", "wrote a letter to the mayor"),
    ("bake a plum cake", "baked a plum cake"),
    ("sing at the wedding", "sang at the wedding"),
    ("carry the sacks to the mill", "carried the sacks to the mill"),
    ("light the lamps", "lit the lamps"),
    ("ring the bell at noon", "rang the bell at noon"),
    ("repair the old boat", "repaired the old boat"),
    ("teach the children to swim", "taught the children to swim"),
    ("pick the last apples", "picked the last apples"),
    ("shear the sheep", "sheared the sheep"),
    ("clean the windows", "cleaned the windows"),
    ("return the borrowed ladder", "returned the borrowed ladder"),
    ("find the lost calf", "found the lost calf"),
    ("cook the soup", "cooked the soup"),
    ("sharpen the knives", "sharpened the knives"),
    ("tell the whole truth", "told the whole truth"),
    ("plant a row of beans", "planted a row of beans"),
    ("fetch the doctor", "fetched the doctor"),
    ("wind the tower clock", "wound the tower clock"),
    ("dig a new well", "dug a new well"),
    ("sell the grey horse", "sold the grey horse"),
    ("stay awake all night", "stayed awake all night"),
];

pub(super) const DAYS: [&str; 14] = [
    "on Monday",
    "on Tuesday",
    "on Wednesday",
    "on Thursday",
    "on Friday",
    "on Saturday",
    "on Sunday",
    "before the first snow",
    "after the harvest",
    "before sunset",
    "at midnight",
    "in the spring",
    "when the rain stopped",
    "the next morning",
];

pub(super) const GOODS: [&str; 24] = [
    "apples", "pears", "eggs", "coins", "candles", "nails", "buttons", "loaves", "fish", "onions", "stamps", "marbles", "walnuts",
    "ribbons", "bricks", "carrots", "plums", "tickets", "shells", "sacks", "hens", "bottles", "lemons", "pencils",
];

pub(super) const NUMBERS: [&str; 21] = [
    "none",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
    "twenty",
];

pub(super) const ANIMALS: [&str; 16] = [
    "dog", "cat", "goat", "horse", "parrot", "donkey", "goose", "rabbit", "pony", "crow", "tortoise", "pig", "ferret", "mule", "hen", "fox",
];

pub(super) const PET_STARTS: [&str; 18] =
    ["Bis", "Pep", "Mo", "Tru", "Fin", "Gi", "Ru", "Nib", "Pud", "Whis", "Tof", "Bram", "Dus", "Jig", "Ol", "Sor", "Pick", "Mar"];

pub(super) const PET_ENDS: [&str; 14] = ["kin", "ble", "per", "ly", "ket", "ster", "dle", "mo", "rel", "pin", "fy", "zo", "low", "gin"];

pub(super) const FOODS: [&str; 20] = [
    "plum cake",
    "onion soup",
    "warm bread",
    "roast chestnuts",
    "honey on toast",
    "smoked fish",
    "apple pie",
    "pepper stew",
    "sour cherries",
    "goat cheese",
    "barley porridge",
    "pickled beets",
    "lemon tart",
    "fried eggs",
    "black olives",
    "mint tea",
    "pumpkin bread",
    "bean broth",
    "poppy rolls",
    "cold milk",
];

pub(super) const SECRETS: [&str; 24] = [
    "ember", "willow", "north", "sparrow", "marble", "thunder", "seven", "amber", "harvest", "lily", "granite", "echo", "midnight",
    "copper", "anchor", "thistle", "saffron", "velvet", "orchard", "falcon", "winter", "cinder", "meadow", "compass",
];

/// Sentences that carry no fact: distance between what is told and what is asked.
pub(super) const WEATHER: [&str; 32] = [
    "The wind turned to the west and the shutters rattled",
    "It rained for three days without a pause",
    "Snow lay on every roof",
    "The sun stood low over the fields",
    "A fog came up from the water and hid the houses",
    "The evening was warm and smelled of hay",
    "Somewhere a dog barked and was quiet again",
    "The church clock struck and nobody counted",
    "Smoke rose straight from the chimneys",
    "The river was higher than anyone could remember",
    "Swallows flew low above the square",
    "The road was white with dust",
    "A cart went by, and then another",
    "The stars came out one after the other",
    "Frost drew flowers on the glass",
    "The market was loud with geese and fiddles",
    "Two old women laughed on the steps",
    "The lamps were lit early that night",
    "Leaves blew across the yard",
    "The kettle sang on the stove",
    "No boat went out that day",
    "The moon was thin as a fingernail",
    "Children ran through the lanes with wooden swords",
    "Thunder walked about behind the hills",
    "It was so quiet that one heard the bees",
    "The bread in the oven smelled of summer",
    "A stranger rode through without a word",
    "The mill wheel stood still for once",
    "The orchard was white with blossom",
    "Everyone slept badly that week",
    "The harbor smelled of tar and salt",
    "A cock crowed, though it was noon",
];
