package main

import (
	"maps"
	"math"
	"slices"
)

// A city is where terminals stand.
type city struct {
	name      string
	currency  string
	lat, long float64 // degrees
}

var (
	berlin  = &city{"Berlin", "EUR", 52.52, 13.40}
	paris   = &city{"Paris", "EUR", 48.86, 2.35}
	london  = &city{"London", "GBP", 51.51, -0.13}
	zurich  = &city{"Zurich", "CHF", 47.37, 8.54}
	warsaw  = &city{"Warsaw", "PLN", 52.23, 21.01}
	newYork = &city{"New York", "USD", 40.71, -74.01}
	tokyo   = &city{"Tokyo", "JPY", 35.68, 139.69}
)

// A merchant has a contract: where its terminals stand, and what a sale costs it.
type merchant struct {
	name      string
	city      *city
	fee       int64 // basis points of each sale
	terminals int
	typical   int64 // euro cents of a usual sale; only the generator uses it
}

// merchants by id. A real system has them in a database of its own.
var merchants = map[string]merchant{
	"m01": {"Kiez Grocery", berlin, 90, 3, 2_400},
	"m02": {"Spree Books", berlin, 120, 1, 1_900},
	"m03": {"Panke Bicycles", berlin, 145, 1, 8_900},
	"m04": {"Boulangerie Lune", paris, 95, 2, 1_150},
	"m05": {"Canal Records", paris, 130, 1, 2_800},
	"m06": {"Marché Vert", paris, 90, 2, 3_300},
	"m07": {"Thames Coffee", london, 110, 3, 900},
	"m08": {"Camden Outfitters", london, 150, 1, 6_400},
	"m09": {"Limmat Apotheke", zurich, 105, 1, 3_100},
	"m10": {"Alpen Sport", zurich, 150, 1, 9_700},
	"m11": {"Piekarnia Praga", warsaw, 85, 2, 800},
	"m12": {"Wisła Electronics", warsaw, 155, 1, 9_200},
	"m13": {"Hudson Deli", newYork, 110, 3, 1_700},
	"m14": {"Brooklyn Hardware", newYork, 135, 1, 4_900},
	"m15": {"Asakusa Noodles", tokyo, 95, 2, 1_050},
	"m16": {"Kanda Stationery", tokyo, 125, 1, 2_200},
}

func merchantIDs() []string { return slices.Sorted(maps.Keys(merchants)) }

// distance returns the kilometres between two cities along a great circle. It is
// no money, so it may be a float.
func distance(a, b *city) float64 {
	const earth = 6371 // km, the mean radius
	rad := func(deg float64) float64 { return deg * math.Pi / 180 }
	lat, long := rad(b.lat-a.lat)/2, rad(b.long-a.long)/2
	h := math.Sin(lat)*math.Sin(lat) + math.Cos(rad(a.lat))*math.Cos(rad(b.lat))*math.Sin(long)*math.Sin(long)
	return 2 * earth * math.Asin(math.Sqrt(min(1, h)))
}
