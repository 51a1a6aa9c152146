package client

import (
	"strings"
	"testing"
)

func TestReadSeats(t *testing.T) {
	t.Parallel()
	const table = "section,row,block,label,quality_rank,x,y,accessible\nHall,A,,1,5,10,-2,\nHall,A,2,2,5,,,true\nBox,1,,1,9,,,\n"
	const list = `[{"section":"Hall","row":"A","label":"1","quality_rank":5,"x":10,"y":-2},
		{"section":"Hall","row":"A","block":"2","label":"2","quality_rank":5,"accessible":true},
		{"section":"Box","row":"1","label":"1","quality_rank":9}]`
	for name, text := range map[string]string{"CSV": table, "JSON": list} {
		seats, err := ReadSeats([]byte(text))
		if err != nil || len(seats) != 3 {
			t.Fatalf("%s: %v, %v", name, seats, err)
		}
		maps := seatMaps("event", "variant", seats)
		if len(maps) != 2 || maps[0].GetSection() != "Hall" || len(maps[0].GetRows()) != 2 || maps[1].GetRows()[0].GetSeats()[0].GetQualityRank() != 9 {
			t.Fatalf("%s: %v", name, maps)
		}
		first, second := maps[0].GetRows()[0].GetSeats()[0], maps[0].GetRows()[1].GetSeats()[0]
		if first.GetX() != 10 || first.GetY() != -2 || first.GetVariantId() != "variant" || second.X != nil || !second.GetAccessible() || maps[0].GetRows()[1].GetLabel() != "A" {
			t.Errorf("%s: %v and %v", name, first, second)
		}
	}
	for text, want := range map[string]string{
		"section,colour\nHall,red\n":          "no such column: colour",
		"section,quality_rank\nHall,good\n":   `line 2: quality_rank is no whole number: "good"`,
		"section,row\nHall\n":                 "wrong number of fields",
		`[{"section":"Hall","colour":"red"}]`: `unknown field "colour"`,
		"":                                    "EOF",
		"section,row,label,x\nHall,A,1,1\nHall,A,2,everywhere": "line 3: x is no whole number",
	} {
		if _, err := ReadSeats([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}
