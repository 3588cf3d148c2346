#!/usr/bin/env python3
"""Regenerates src/data/zones.csv and src/data/cpus.csv; src/data/README.md says when and how.

    pip download --no-deps -d /tmp/tables carbontracker==2.4.7 codecarbon==3.3.2
    python3 scripts/data_tables.py /tmp/tables
"""

import csv
import io
import json
import pathlib
import sys
import zipfile

OUT = pathlib.Path(__file__).resolve().parent.parent / "src" / "data"
GRAMS_PER_POUND_PER_MEGAWATT_HOUR = 0.45359237

# Grams CO2e/kWh over the life cycle: medians of IPCC AR5 WG3 (2014), table A.III.2. Oil and "other"
# are not in that table: 650 and 700 are Electricity Maps' defaults. Tidal is counted as wind.
FUELS = {"coal": 820, "naturalGas": 490, "petroleum": 650, "biomass": 230, "solar": 45, "wind": 11,
         "tidal": 11, "hydro": 24, "nuclear": 12, "other": 700}

PROVINCES = {"AB": "Alberta", "BC": "British Columbia", "MB": "Manitoba", "NB": "New Brunswick",
             "NL": "Newfoundland and Labrador", "NS": "Nova Scotia", "NT": "Northwest Territories",
             "NU": "Nunavut", "ON": "Ontario", "PE": "Prince Edward Island", "QC": "Quebec",
             "SK": "Saskatchewan", "YT": "Yukon"}

# National Greenhouse Accounts Factors 2024, scope 2, kg/kWh x 1000.
AUSTRALIA = {"NSW": ("New South Wales", 660), "ACT": ("Australian Capital Territory", 660),
             "VIC": ("Victoria", 770), "QLD": ("Queensland", 710), "SA": ("South Australia", 230),
             "WA": ("Western Australia (south-west grid)", 510), "TAS": ("Tasmania", 150),
             "NT": ("Northern Territory (Darwin-Katherine grid)", 560)}

# Grid regions for which Google publishes the figure of a cloud region that lies in them (2024).
GOOGLE = [("US-MIDA-PJM", "PJM Interconnection", 323.05), ("US-CAL-CISO", "California ISO", 169.28),
          ("US-NW-BPAT", "Bonneville Power Administration", 79.23),
          ("US-TEX-ERCO", "Electric Reliability Council of Texas", 302.95),
          ("US-MIDW-MISO", "Midcontinent ISO", 412.72),
          ("US-CAR-SC", "South Carolina Public Service Authority", 575.77),
          ("US-SE-SOCO", "Southern Company", 340.42), ("US-CENT-SWPP", "Southwest Power Pool", 372.23),
          ("US-NW-PACE", "PacifiCorp East", 555.17), ("US-NW-NEVP", "Nevada Power", 357.30),
          ("JP-TK", "Tokyo", 452.85), ("JP-KN", "Kansai", 296.19), ("IN-WE", "Western India", 678.76),
          ("IN-NO", "Northern India", 531.83), ("BR-CS", "Central Brazil", 67.32),
          ("CL-SEN", "Chile (national grid)", 238.0), ("IT-NO", "Northern Italy", 201.69)]

# Grid regions with no openly licensed figure of their own: zone, name, the larger area that stands in.
STAND_INS = [("US-SW-AZPS", "Arizona Public Service", "US-AZ"), ("US-SW-SRP", "Salt River Project", "US-AZ"),
             ("US-NW-PGE", "Portland General Electric", "US-OR"),
             ("US-NW-PSCO", "Public Service Company of Colorado", "US-CO"),
             ("US-NY-NYIS", "New York ISO", "US-NY"), ("US-TEN-TVA", "Tennessee Valley Authority", "US-TN"),
             ("US-FLA-FPL", "Florida Power & Light", "US-FL"),
             ("IN-SO", "Southern India", "IN"), ("IN-EA", "Eastern India", "IN"),
             ("DK-DK1", "West Denmark", "DK"), ("DK-DK2", "East Denmark", "DK"),
             ("MY-WM", "Peninsular Malaysia", "MY")]

# Rated watts (TDP, base power) from the makers' public product pages, where the package lacks them.
INTEL = {"Core i9-12900K": 125, "Core i9-12900": 65, "Core i7-12700": 65, "Core i5-12600K": 125,
         "Core i5-12500": 65, "Core i5-12400": 65, "Core i7-1260P": 28, "Core i9-13900KS": 150,
         "Core i9-13900": 65, "Core i7-13700K": 125, "Core i7-13700": 65, "Core i5-13600K": 125,
         "Core i5-13500": 65, "Core i5-13400": 65, "Core i7-13700H": 45, "Core i7-13650HX": 55,
         "Core i9-13900HX": 55, "Core i9-13980HX": 55, "Core i7-1365U": 15, "Core i9-14900KS": 150,
         "Core i9-14900K": 125, "Core i9-14900": 65, "Core i7-14700K": 125, "Core i7-14700": 65,
         "Core i5-14600K": 125, "Core i5-14500": 65, "Core i5-14400": 65, "Core Ultra 7 265K": 125,
         "Core Ultra 5 245K": 125, "Core Ultra 7 258V": 17, "Processor N95": 15, "Xeon w9-3595X": 385,
         "Xeon w9-3575X": 340, "Xeon w9-3495X": 350, "Xeon w9-3475X": 300, "Xeon w7-3465X": 300,
         "Xeon w7-3455": 270, "Xeon w7-3445": 270, "Xeon w5-3435X": 270, "Xeon w5-3425": 270,
         "Xeon w7-2495X": 225, "Xeon w7-2475X": 225, "Xeon w5-2465X": 200, "Xeon w5-2455X": 200,
         "Xeon w5-2445": 175, "Xeon w3-2435": 165, "Xeon w3-2425": 130, "Xeon w3-2423": 120}
AMD = {"EPYC 3251": 55}
OTHERS = [("NVIDIA Grace", 250, "nvidia"), ("Ampere Altra Q80-30", 210, "ampere"),
          ("Ampere Altra Max M128-30", 250, "ampere")]


def main(folder):
    table = Packages(pathlib.Path(folder))
    write("zones.csv", ["zone", "name", "grams_per_kwh", "scope", "year", "source"], zones(table))
    write("cpus.csv", ["name", "tdp_watts", "source"], cpus(table))


class Packages:
    """The wheels of a folder, as one bag of files."""

    def __init__(self, folder):
        self.wheels = [zipfile.ZipFile(path) for path in sorted(folder.glob("*.whl"))]

    def text(self, path):
        for wheel in self.wheels:
            if path in wheel.namelist():
                return wheel.read(path).decode("utf-8-sig")
        sys.exit(f"{path} is in none of the wheels: download the versions named above")

    def json(self, path):
        return json.loads(self.text(path))

    def csv(self, path):
        return list(csv.DictReader(io.StringIO(self.text(path))))


def zones(table):
    infra = "codecarbon/data/private_infra/"
    # Carbontracker's fallback for the world; the figure is the IEA's, of CO2 alone.
    rows = [["WORLD", "World", 445, "direct", 2024, "iea"]]
    for row in table.csv("carbontracker/data/carbon-intensities.csv"):
        grams = float(row["Carbon intensity of electricity (gCO2eq/kWh)"])
        if grams > 0:  # a zero (Central African Republic) is a gap in the source, not clean power
            rows.append([row["alpha-2"], row["Entity"], grams, "lifecycle", row["Year"], "ember"])
    # Namibia's code, NA, reads as "no value" to the tool that made the file above, and is lost there.
    namibia = table.json(infra + "global_energy_mix.json")["NAM"]
    rows.append(["NA", "Namibia", namibia["carbon_intensity"], "lifecycle", namibia["year"], "ember"])
    for name, row in table.json(infra + "2023/usa_emissions.json").items():
        if not name.startswith("_") and name != "usa":
            grams = row["emissions"] * GRAMS_PER_POUND_PER_MEGAWATT_HOUR
            rows.append(["US-" + row["regionCode"], title(name), grams, "direct", 2023, "egrid"])
    mixes = table.json(infra + "2023/canada_energy_mix.json")
    for code, name in PROVINCES.items():
        mix = {fuel: share for fuel, share in mixes[name.lower()].items() if fuel != "total"}
        grams = sum(share * FUELS[fuel] for fuel, share in mix.items()) / sum(mix.values())
        rows.append(["CA-" + code, name, grams, "lifecycle", 2023, "canada"])
    for code, row in table.json(infra + "2023/china_provincial_emissions.json")["data"].items():
        rows.append([code, row["description"], row["emission_factor"], "direct", row["year"], "mee"])
    for code, row in table.json(infra + "nordic_emissions.json")["data"].items():
        if code != "FI":
            name = row["description"].replace(" Bidding Zone ", " zone ")
            rows.append([f"{code[:2]}-{code}", name, row["emission_factor"], "lifecycle", row["year"], "nordic"])
    rows += [["AU-" + code, name, grams, "direct", 2024, "nga"] for code, (name, grams) in AUSTRALIA.items()]
    rows += [[code, name, grams, "direct", 2024, "google"] for code, name, grams in GOOGLE]
    known = {row[0]: row for row in rows}
    for code, name, larger in STAND_INS:
        _, _, grams, scope, year, source = known[larger]
        rows.append([code, name, grams, scope, year, source + "-stand-in"])
    return sorted([[*row[:2], f"{float(row[2]):.2f}".rstrip("0").rstrip("."), *row[3:]] for row in rows])


def title(name):
    return name.title().replace(" Of ", " of ")


def cpus(table):
    watts = {}
    for row in table.csv("codecarbon/data/hardware/cpu_power.csv"):
        name = " ".join(row["Name"].split())
        digits = row["TDP"].replace(".", "", 1)
        if digits.isdigit() and float(row["TDP"]) > 0:
            watts.setdefault(name, (float(row["TDP"]), "codecarbon"))
        else:
            print(f"left out {name}: {row['TDP']} watts", file=sys.stderr)
    for maker, models, source in (("Intel", INTEL, "intel"), ("AMD", AMD, "amd")):
        watts |= {f"{maker} {model}": (power, source) for model, power in models.items()}
    watts |= {name: (power, source) for name, power, source in OTHERS}
    return [[name, f"{power:g}", source] for name, (power, source) in sorted(watts.items())]


def write(name, header, rows):
    with open(OUT / name, "w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])
    print(f"{name}: {len(rows)} rows")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) == 2 else sys.exit(__doc__))
