"""Units of measure and currencies: one name for each, and which of them measure the same thing.

`UNITS` maps a stem or a sign to the unit's name; `SCALES` gives a unit's dimension and its size in that dimension's
base, as an exact fraction, where two amounts in different units may be the same amount (1 km = 1,000 m).
"""

from fractions import Fraction

from vdb.cache.guard.words import listed, root

_NAMES = """
mm|millimeter cm|centimeter m|meter km|kilometer,kilo-meter,kms mi|mile nmi|nmis yd|yard ft|foot,feet inch|inches,in.
um|micrometer,micron nm|nanometer
g|gram,gr kg|kilogram,kilo,kgs,kilos mg|milligram mcg|microgram,µg,ug t|ton lb|lbs oz|ounce stone|stones,st.
ml|milliliter,mls cl|centiliter l|liter,ltr gal|gallon pint|pints quart|quarts cup|cups tbsp|tablespoon tsp|teaspoon
s|second ms|millisecond,msec us_|microsecond,µs minute|minutes h|hour day|daily,days week|weekly month|monthly
year|yearly,annually,annual,annum decade|decades century|centuries quarter|quarterly
b_|byte kb|kilobyte mb|megabyte gb|gigabyte tb|terabyte pb|petabyte kib|kibibyte mib|mebibyte gib|gibibyte
bit|bits kbps|kbit/s mbps|mbit/s gbps|gbit/s
hz|hertz khz|kilohertz mhz|megahertz ghz|gigahertz
w|watt kw|kilowatt mw|megawatt gw|gigawatt wh|watt-hour kwh|kilowatt-hour mwh|megawatt-hour v|volt kv|kilovolt
a_|amp,ampere ma|milliamp mah|milliamp-hour ohm|ohms,Ω j|joule kj|kilojoule cal|calorie kcal|kilocalorie
pa|pascal kpa|kilopascal hpa|hectopascal bar|bars psi|psis atm|atmosphere mmhg|mmhgs n|newton
celsius|centigrade,°c,degc fahrenheit|°f,degf kelvin|kelvins radian|radians,rad turn_|turns
percent|%,percentage,pct kmh|km/h,kph,kmph mph|mi/h mps|m/s fps|ft/s knot|knots,kt
sqft|ft²,ft2,sqfts sqm|m²,m2 acre|acres hectare|hectares,ha
usd|$,dollar,buck,us$ eur|€,euro gbp|£,sterling,quid jpy|¥,yen chf|franc,francs inr|₹,rupee cny|yuan,renminbi,rmb
krw|won_,₩ rub|ruble,rouble,₽ brl|real_ mxn|peso sek|krona nok|krone pln|zloty try|lira aud|a$ cad|c$ nzd|nz$ hkd|hk$
sgd|s$ zar|rand btc|bitcoin,₿ eth|ether cent|cents penny|pence,pennies
pound|pounds degree|degrees,°,deg dozen_|dozens px|pixel em_|ems db_|decibel lumen|lumens mol|mole
serving|servings page|pages
"""

_SIZES = """
length mm 1/1000 cm 1/100 m 1 km 1000 mi 1609344/1000 yd 9144/10000 ft 3048/10000 inch 254/10000
mass mg 1/1000 mcg 1/1000000 g 1 kg 1000 t 1000000 lb 45359237/100000 oz 45359237/1600000
volume ml 1/1000 cl 1/100 l 1
time ms 1/1000 us_ 1/1000000 s 1 minute 60 h 3600 day 86400 week 604800
span month 1 year 12 decade 120 quarter 3 century 1200
data b_ 1 kb 1000 mb 1000000 gb 1000000000 tb 1000000000000
rate kbps 1 mbps 1000 gbps 1000000
frequency hz 1 khz 1000 mhz 1000000 ghz 1000000000
power w 1 kw 1000 mw 1000000 gw 1000000000
energy wh 1 kwh 1000 mwh 1000000
dollars usd 100 cent 1
"""


def _units() -> dict[str, str]:
    units = {}
    for entry in _NAMES.split():
        name, _, others = entry.partition("|")
        for surface in (name, *others.split(",")):
            units[surface] = name
            units[root(surface)] = name
    return units


def _scales() -> dict[str, tuple[str, Fraction]]:
    scales = {}
    for line in _SIZES.strip().splitlines():
        dimension, *sizes = line.split()
        for name, size in zip(sizes[::2], sizes[1::2], strict=True):
            scales[name] = (dimension, Fraction(size))
    return scales


UNITS = _units()
SCALES = _scales()

# Only behind a number, or `per`: elsewhere these are letters or words of their own.
AFTER_NUMBER = listed(
    "m g t b s l h w v j n a p c f k d y in ft mi pa st oz bar cup stone foot second pound degree minute "
    "ms nm mb tb pb kv ma mw gw kj pa px db quarter page serving won real rand ether mole cent hand point bit kt ha "
    "rad em try us gr mo turn atmosphere"
)
BARE = {"c": "celsius", "f": "fahrenheit", "k": "kelvin", "d": "day", "y": "year", "p": "penny"}
BARE |= {"b": "b_", "st": "stone", "mo": "month"}
CURRENCIES = listed("usd eur gbp jpy chf inr cny krw rub brl mxn sek nok pln aud cad nzd hkd sgd zar")
# One word for two things: such a pair is not told apart.
LOOSE = frozenset(map(frozenset, (("pound", "lb"), ("pound", "gbp"), ("degree", "celsius"))))
LOOSE |= frozenset(map(frozenset, (("degree", "fahrenheit"), ("penny", "cent"))))
