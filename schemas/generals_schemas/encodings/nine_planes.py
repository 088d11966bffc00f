"""The nine planes: what a player sees now, nothing remembered."""

from generals_schemas.encodings.declaration import Channel, Encoding

CHANNELS = (
    Channel("own_armies", "army", "own", "armies on the team's tiles"),
    Channel("enemy_armies", "army", "enemy", "armies on the tiles of others"),
    Channel("own_territory", "plane", "own", "the team's tiles"),
    Channel("enemy_territory", "plane", "enemy", "tiles of others"),
    Channel("neutral_territory", "plane", "neutral", "visible, unowned, no mountain"),
    Channel("cities", "plane", "city", "cities and generals"),
    Channel("mountains", "plane", "mountain", "mountains and obstacles"),
    Channel("visible", "plane", "visible", "tiles that the team sees"),
    Channel("fog", "plane", "fog", "tiles that it does not"),
)

ENCODING = Encoding("nine_planes", CHANNELS)
