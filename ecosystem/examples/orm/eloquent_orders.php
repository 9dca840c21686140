<?php // Laravel's Eloquent: an order and its message in one transaction. In Laravel the first two statements are not needed.
require '/usr/share/php/Illuminate/Database/autoload.php';

use Illuminate\Database\Capsule\Manager as DB;
use Illuminate\Database\Eloquent\Model;

$capsule = new DB;
$url = parse_url(getenv('DATABASE_URL'));
$capsule->addConnection(['driver' => 'pgsql', 'host' => $url['host'], 'port' => $url['port'], 'database' => ltrim($url['path'], '/'),
    'username' => $url['user'], 'password' => $url['pass'] ?? '', 'charset' => 'utf8', 'search_path' => 'public']);
$capsule->setAsGlobal();
$capsule->bootEloquent();

class Order extends Model
{
    protected $table = 'purchase';
    protected $guarded = [];
    public $timestamps = false;
}

/** Columns that you leave out get their defaults; the trigger of wa checks the rest. */
class Outbound extends Model
{
    protected $table = 'wa.outbound';
    protected $guarded = [];
    public $timestamps = false;
}

DB::connection()->transaction(function () {
    $order = Order::create(['phone' => '+15550002']);
    Outbound::create(['session' => 'shop', 'recipient' => $order->phone, 'body' => "Order {$order->id} is on its way"]);
});
// A function; ids are compared with wa.outbound.id.
echo DB::connection()->selectOne("SELECT wa.send_text('shop', '+15550002', 'Thank you') AS id")->id, "\n";
echo json_encode(Outbound::orderBy('id')->pluck('body')), "\n";
