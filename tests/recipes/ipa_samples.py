"""Words of every language that espeak-ng 1.51 has, chosen for the number of different phonemes in them.

Drawn at random from wordfreq, from dictionaries, and from CLDR's names of countries and languages; where none of them
has the language, written by hand.
"""

from __future__ import annotations

SAMPLES: dict[str, str] = {
    "af": "afwesigheid abdominaal kopiereg joune regime toilet solank agteruit lug mooi belê bêre",
    "am": "ካቡቨርዲያኑ አውስትራሌዥያ ድዞንግኻኛ ፍሌሚሽ ቤጃ ቺፔውያን ኢራቅ",
    "an": "sudoriental Zimbabue desconoixiu Paraguay Fichi Reino Mauricio EUA Jan Sant Kong d’Ivoire",
    "ar": "للديمقراطية السعوديات وبلغ الحفظ النضج يختص شارك نثق رامز مؤقت بالرد أعطيت",
    "as": "লুইয়া ইণ্ডোনেচিয়ান ছিংগাপুৰ ফ্ৰেন্স ভিয়েটনামীজ মৈথিলী চাও লেউ খমেৰ মধ্য মাৰাঠী নৰ্দাৰ্ন",
    "az": "kabuverdian Zlotısı hiyeroqlifi türkmən kipr Şərq çjuan recəng haida osetin",
    "ba": "башҡорт теле",
    "be": "верхнялужыцкая азербайджанскі Маёта валоф янгбэн Псеўдаакцэнты кечуа меета афшорны узбекскі лей агем",
    "bg": "благоприятно включвам превъзхожда замяна боклуци изява фюрера площта хранят твърдят отправя",
    "bn": "প্রতিষ্ঠানগুলোর দৃঢ়ভাবে প্ল্যাটফর্মের থাকছে চাঁদাবাজি শাখায় সংঘর্ষের ধরা রেড যাক ঝড়ে ঢালাই",
    "bpy": "আমি বাংলা পানি",
    "bs": "Mikronezija Bangladeš Arapskih Futuna njemački ćirilica hau lev južni gudžarati",
    "ca": "realitzadores excombatent lleixa prengueren cigonyes doble petja vespre feiner ocults accepto ajornen",
    "cmn-latn-pinyin": "shi4 zhong1guo2 hao3 ta1 nü3 er2",
    "cs": "šedesátikilometrový prudina blůzička jitrnicový sférách lhůta požitkář pouť šenk třít grunt zdejší",
    "cv": "люксембург Тулашӗнчи бохжпури Герцеговина фонд Анӑҫ Мэн зоги чиркӳ элимей Сьерра тайвьет",
    "cy": "cyfresoliad bonheddig trwsiadus dwywaith milltiroedd uwchlaw peintiau mewngofnod hufen priod briwo jygiau",
    "da": (
        "udviklingsprojekter thorbjørn marianne joe field mangeårige sluger psykologen zoo syge været tyven hund banken"
    ),
    "de": (
        "Sozialversicherung Gaunersprache Boykott Universitätsmedizin Heizstoff Frühstück nanu Gurke "
        "Baujahr Ökumene löffeln Pflanzenwelt"
    ),
    "el": "φωτοηλεκτροχημεία ψευδίζω τσιμπουκώνω αγγείο υπαγωγή αντηλιά Θεοφάνια κήπος μηχανή Μπαϊρόιτ",
    "en-gb": (
        "Yekaterinburg Mariupol heretofore chalcedony realization Ouija unravel during betroth Parthia sour lyre"
    ),
    "en-gb-scotland": (
        "Nicaraguan Swahili Bopomofo Venda Mauritania Portugal Marshallese Kaithi Rupiah Algerian WIR N’Ko"
    ),
    "en-gb-x-rp": (
        "Yekaterinburg Mariupol heretofore meadowsweet unravel realization arthralgia teething chia sour lyre gynoid"
    ),
    "en-us": (
        "heterosexual populated transforming merchandise bogus wii envoy poorly somehow argentine offseason healthcare"
    ),
    "eo": "malcentrigo ŝovsulko ĉefplado laŭhorloĝa bajto eŭfrazio ojstro bakujo armaĵo senjoro ĥaldeano",
    "es": (
        "terciodécuplos rabinismo vendaríais exiguos enmangaba enfurruñaba jurisprudencia puchos brillen "
        "acataseis susceptible construyéndonoslo"
    ),
    "es-419": (
        "profetizando runflarais jurisprudencia exiguos enmangaba bisbiseaseis puchos llevador domeñares susceptible"
    ),
    "et": (
        "piirkondlikuga defensiivi hälisen kübarjuse matšeetega plaatjasti võsun võõpavusi pediküüriga "
        "loo rängem buumiga"
    ),
    "eu": "kondairagile sulpiziotar hominoide birjorr goiburu entxufe eus xixk haugu Pacino kartsu antzeko",
    "fa": "برنمیگماشتهاید مسئله فروبکردی بازبجوید میقاپیدهام چرخانی بازمگو میزیید",
    "fa-latn": "salam ketab",
    "fi": (
        "lähestymistapa auringon valokuvaaja työttömyys eurooppalaisten täydentää väitteet reissuun "
        "liikkumaan toi sie syntyi"
    ),
    "fr-fr": "serviabilité documenteur pornographie geler boudin prison fâché foyer bleuet",
    "ga": "Tuircméanastáine Pachlavais Gaimbia Deiscirt Thonga Futúna Tíomór Duailis Araib Ghaeilge Ídis Saint",
    "gd": (
        "Zapotec Lombardais Rejang Cuibhèit Cìorgastan Liotuainis Ruiseach dhèanta Iùdhais Nyankole Leòmhann Flànrais"
    ),
    "gn": "Groenlandia avqust avañe’ẽ may Francésa Paraguai Thu Wed Chíle",
    "grc": "ἄνθρωπος λόγος θάλασσα",
    "gu": "બેલારુશિયન પીટકૈર્ન હમોંગ ચૂકીસ બૌવેત ભોજપુરી ફેંગ ઉત્તરી રવાંડન વેન્દા ખારોશ્થી સૅન",
    "hak": "ngai hak",
    "haw": "Kelemānia avqust Hebera kūpono Mōʻī dekabr Hawaiʻi Hui Fri Pākē Tonga Aupuni",
    "he": "דמוקרטיה לפינוי אדבר שוחד לזוג צרו עונג עיוות",
    "hi": "विनम्रता घुसपैठियों भौगोलिक बढ़ाने मोदीजी घोषणाएं पूछ खडे ऍफ़ सेटिंग शर्मिला पांचवें",
    "hr": "predsjednikom izložbu zavarivanje uključujući bivših gps trci horor koledž događaji",
    "ht": "Ouzbékistan chipewyan mongol fonds lev mahadjani",
    "hu": "információval megközelítés beküldött hangú szerencséje penny utóbbi betű jövő gyár látsz meccs",
    "hy": "եթովպիական Ղրղզստան Բանգլադեշ Հասարակածային քաջունական Չեխիա Միացյալ ԿՖԱ փուշթու",
    "hyw": "եթովպիական Ղրղզստան մալգաշերեն բահտ Չեխիա Ուրուգվայ ԿՖԱ ցոնգա Տարածքներ",
    "ia": "Micronesia zhuang lushootseed Palau lojban Francia tai lev Chile Pseudo bahreini Tanzania",
    "id": "memperdulikan mnctv berbohong quraisy investor grey khadijah azan icha lainnya bernaung",
    "io": "sentyabr Ido avqust aprel Thu may Wed Fri",
    "is": (
        "úrslitaleiknum seðlabankinn fræðilega kjörtímabil þórarinsdóttir hvítvín tai point spegill "
        "tileinkaður nál ofl vatn mjólk hnífur"
    ),
    "it": (
        "provvidenziale aragosta ciambella accucciarsi giuggiola fazzoletto contrappesare scia sesso "
        "oblio spagna zitella"
    ),
    "ja": "かろうじて みなさん つぶやき ひどかっ ほお ぐち ふう わざと うれしい やぁ ぱい なんか",
    "jbo": "sentyabr avqust Fri lojban Wed Mon Thu iyun aprel",
    "ka": "ბანგლადეშური სომხეთი ზღვა ჩოკტო ჰუპა ფიჯის მყარი ოქროს უცნობი ხუნძური ჟარგონი",
    "kk": "люксембург Свазиленд Оңтүстік Пьер және ачех құмық Франция ағылшын",
    "kl": "da El of Sat Wed Cap Tue Thu Mon San Man Fri",
    "kn": "ಹರ್ಜೆಗೋವಿನಾ ಸಂಕೇತಲಿಪಿ ಯೊರುಬಾ ಮಿರಾಂಡೀಸ್ ಸೌದಿ ಮಂಚು ಫಾಂಟಿ ಭೂತಾನ್ ಸಂಸ್ಥಾನಗಳು ಹೈ ಅವಧಿ ಶೋನಾ",
    "ko": "공권력 단백질 페스타 숨졌 볼링 착공 글쎄 콘솔 뿌려",
    "kok": "कॅजां पाप्यामेंटो मुडांग स्विट्ज़रलैंड लशूतसीड मिचिफ उझबेक मॉरोक्कन वाई घाना समोआई त्याप",
    "ku": "hîyeroglîfên Xirwatistan Mozambîk volapûkî adîgeyî Lucia oji Îraq çûkî başûr eweyî",
    "ky": "д’Ивуар франциялык гиизче төмөнкү Монгол хинглиш куви адаңмече",
    "la": "Iudaeogermanica Aegyptus Belavia Francia Herzegovina Thu seu Aurum Cechia Andorra Maiotta Occitana",
    "lb": "traditionell Dominikanesche Testwährung Yup’ik XBD vereinfacht Gourde Schwäiz Südlech Oncodéiert Leu Nuer",
    "lfn": "aora casa mundo",
    "lt": "rekomendacijas stiprumą gyvybė capital nedidelius ūkinių išvalyti paukščio usb fanai žodžius važiuoja",
    "ltg": "novembris latgalīšu juļs eiro decembris Thu Fri juņs angļu apreļs augusts oktobris",
    "lv": "apliecinājums vērtību džungļu vecākais zemeņu psihologu apvienošanos aprūpei type ķeros tērpi brauns",
    "mi": "Pakitāne Hōrano aimuna Wēneti Tīwhehi Mūnatanga Ao Hou",
    "mk": "пендаровски здруженијата фудбалер германците скршен караџиќ значи допаѓа сирење охрабри",
    "ml": "ഹെർസഗോവിന യൊറൂബാ ഏകീകൃത ടമാസൈറ്റ് ഫുല ഞായറാഴ്‌ച അക്കൌണ്ട് ക്തി ഷ്യാങ് ഭൂട്ടാൻ ഘാന ഒജി",
    "mr": "संकेतलिपी योरुबा जर्मन सुंदानीज व्हॅटिकन डोंगा ट्यूनिशिया चोक्तौ फॉन्यी झांबियन मध्य पलाऊ",
    "ms": "berterimakasih wonder pilu menghargainya cook forum syd jia ppp maya azab taun",
    "mt": "Provenzal Burmiż Diego Karachay Skoċċiż Fiġi Kurux Yiddish Thu Shan Lhudi Ceuta",
    "my": "ဗြိတိသျှပိုင် ဥရောပငွေကြေးစံနစ် မဂါဟီ စကားလုံး ချူကီးစ် ခိုးဒိုဘာ ဖီဂျီ ထားလာ အီဇယာ လစ်ဗျား",
    "nb": "personopplysninger tydelige vekta jubileum uttrykke frps johaug østkysten øre når gadd fondet",
    "nci": "atl calli tlacatl",
    "ne": "माइक्रोनेसियाली पोर्चुगल दक्षिण उरूगुवायाली अज्ञात वन डङ् भाट सीएफ्‌ए रूपैयाँ चेख क्थी",
    "nl": (
        "verontwaardiging Luxemburgs showproces Jezus Nahuatl farao terrein zonsverduistering moord "
        "roepen auteur Hebreeuws"
    ),
    "nog": "эл тав сув",
    "om": (
        "Interlingua Bihoojpuurii Dominiikaa Czech Welishiffaa Neevis Xaaliyaan Ql Dhihaa Hagayya "
        "Futtuuna Jaappaan Ammayyaa Tarkiye"
    ),
    "or": "ଇୱୋଣ୍ଡୋ ଜିବୌଟିୟ ଅଞ୍ଚଳ ପାଙ୍ଗା ସୁନିଫର୍ମ ଭାଇ ଖୋସା ଓଡ଼ିଆ ପୂର୍ବ ସେସୋଥୋ ନ୍ୟାମୱେଜୀ ଯୁକ୍ତରାଜ୍ୟ",
    "pa": "ਸਲੋਵੇਨੀਆ ਕੁਰਦਿਸ਼ ਐਂਗਲਟ੍ਰਮ ਅਣਪਛਾਤੀ ਯੂਨੀਫਾਈਡ ਜ਼ੋਂਗਖਾ ਬੈਲਜੀਅਮ ਹੌਸਾ ਸਿੰਧੀ ਚਰਚ ਸਾਊਥ ਨਹੀਂ ਭੂਟਾਨੀ",
    "pap": "Micronesia Portugal Virgin Zimbabwe Fiji Chad Haiti St Zùit spañó Dòler Maarten",
    "piqd": "qapla batlh",
    "pl": "demonstracyjnie publiczność związkowy hańbić żongler przeciwciało między dżem diler piątek łokieć źrenica",
    "pt": "wwf enxergar antônio desempenham vocação paixões recorre bacalhau anal doou girls cuidam",
    "pt-br": (
        "metaforicamente surpresos yellowman renove giglio impunham baixasse duofel aplaudiam ateu uiraúna injeções"
    ),
    "py": "casa naui",
    "qdb": "tinco parma",
    "qu": "Paʻanga Bermudeño Kwakʼwala fevral Qillqa Kirghiz Chad",
    "quc": "oktyabr Sun aprel may",
    "qya": "elen síla lúmenn",
    "ro": "circumstanțele feroviară pedagogic bântuie hrăni așază joacă interviuri înaintarea tau papi grei",
    "ru": (
        "представительницами взрывчатки пойманную убедившийся выжигали карарбах полузевая фергюссона "
        "пищевое шшшэ обтёрся"
    ),
    "ru-lv": (
        "центральнокурдский ньямвези латиноамериканский хинглиш Люксембург Южный права Египет эмодзи лев фунт киче"
    ),
    "sd": "ڪنورٽيبل افغانستان ڪمبوڊيائي دويهي پرتگال جيز شي ڪچن سان ڀارت مصري مکووا",
    "shn": "မိူင်းထႆး မျၢၼ်ႇမႃႇ",
    "si": "මෙලනීසියාව බටහිරදිග කොංගෝව තෙළිඟු චවේෂ් ජපන් ෆැරෝ ගිල්ඩර් වයඹ ඛසි සෞත් ඝානා",
    "sjn": "mellon edhel",
    "sk": "jednotlivým stíhačky žáner guľa nachádzajúcich zvyškov doplnky sféry bránou sŕdc srdca vedeli",
    "sl": "raziskovalec duševnega ljubitelj pogum suhem točen življenjsko faze bomo light nadzira treningu",
    "smj": "avqust noyabr julevsámegiella Sat Fri",
    "sq": (
        "halkemejlemisht Hercegovinë puaçue azerbajxhanase Qendror Jemenit xhulafonjisht iyul Egjipt Ishulli kojrabore"
    ),
    "sr": "predsjednikom izložbu gužva naših uključujući lovci harvey snp donju koledž događaji",
    "sv": "studieförbund kycklingmamma övergrepp genomsyrar procession häcka bärsa kal ifrån rötter geschäft",
    "sw": "uliochezeshwa ssentongo kimagharibi pandya kuzihifadhi sanjari zakhem kuvutwa",
    "ta": "எதிர்மறையான பொருட்களைப் மூலமாகவே போட்டோ துணைப் செஞ்சுரி ஹரிஷ் அர்ச்சனை வழங்கினார் ஜீன் திரௌபதி இந்தியச்",
    "te": "ఎస్ట్రానజీలో యునిఫైడ్ భారతదేశ బొక్మాల్ చిపెవ్యాన్ హౌసా గింబూన్ ఘనా ఖాసి రష్యా సింధీ సిర్థ్",
    "th": ("ไม่ทราบชื่อสกุลเงิน ยูโร เอสคูโดกินีโปรตุเกส โอลชิกิ ชวา คำพูดที่มองเห็นได้ อัฟกานิสถาน เซลคุป เบลารุส ฮอนดูรัส โครนาไอซ์แลนด์"),
    "tk": "Respublikasy Makdonald düzdeçi Lihtenşteýn Bolgar Fiji çuuk hupa gurdy Täjik lužits adalarynyň",
    "tn": "Esperanto Punjabi Dutch Slovak Hungarian may Welsh Faroese Thu Uzbek",
    "tr": "bulunmadığı yürürlüğe projesini washington özellikler başsavcı geçemez fare dağda erdoğan öğleden ettiren",
    "tt": "Герцеговинаның Колумбия Свазиленд Көньяк чех Фиджи Польша Җибүти һәм",
    "ug": "خېرتسېگوۋىنا فۇلاھچە قەدىمىي كۆپ ئەزەربەيجان سۈرىيە شىللىڭى ئافغان ژارگونچە",
    "uk": "підготовку зближення найкращою матчах місцевій меншу живу третьої стародавнього",
    "ur": "مظفرگڑھ کواپنی مبتلا چوٹیاں سندھیوں موجود خصائل جھنڈے غزہ شفیق سہن آتیں",
    "uz": "Respublikasi Qozogʻiston malagasiy hinglish Xerd Me’roj michif eve",
    "vi": "okinawa hđqt logic tay nhảm sưng phi bền ghe ðây tróc khít",
    "vi-vn-x-central": "Phags Dogri aimun Gourde XBC Tôla Nhật Somoni cổ Đạo khu Văn",
    "vi-vn-x-south": "Phags Dogri aimun Córdoba Đạo Tôla Nhật Khách Hindi Rohingya Pháp Nyanja",
    "yue": "瓦利斯同富圖納群島 阿拉伯聯合大公國迪爾汗 墨西哥轉換單位 表情符號 非書寫語言 秘魯太陽幣 瑞典克朗 英鎊",
    "cmn": "欧洲 壮语 瓦绍语",
    "yue-latn-jyutping": "jyut6 hou2 nei5 sik6",
}
